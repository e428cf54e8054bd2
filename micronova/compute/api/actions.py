"""POST /servers/{id}/action: one verb and its arguments, e.g. {"os-stop": null}, {"reboot": {"type": "HARD"}}.

What this cloud's drivers can't do is refused as Nova refuses it for a driver that can't: first the server's state is
checked, then comes 501.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from micronova.compute import inputs
from micronova.compute.api.create import (
    DiskConfig,
    Metadata,
    check_hostname,
    check_ip,
    check_user_data,
    check_uuid,
    refuse_unknown,
)
from micronova.compute.api.servers import ServerApi
from micronova.compute.inputs import Name, Text
from micronova.compute.manager import ComputeManager
from micronova.compute.rebuild import Rebuild
from micronova.context import Context
from micronova.errors import BadRequest, Error
from micronova.http import Answer, Request, Route, explain
from micronova.microversion import Version

T = TypeVar("T")
Verb = Callable[[Context, str], Awaitable[None]]
"""An action that is a verb and nothing else: whatever comes with it in the body is ignored, as in Nova."""
Act = Callable[[Request, str, Any], Awaitable[Any]]
ACCEPTED = Answer(status=202)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")
NOT_SUPPORTED = "The requested functionality is not supported."

REFUSED: Mapping[str, tuple[str, str, str]] = {
    "suspend": ("os-suspend-server:suspend", "suspend", NOT_SUPPORTED),
    "resume": ("os-suspend-server:resume", "resume", NOT_SUPPORTED),
    "rescue": ("os-rescue", "rescue", NOT_SUPPORTED),
    "unrescue": ("os-unrescue", "unrescue", NOT_SUPPORTED),
    "shelve": ("os-shelve:shelve", "shelve", NOT_SUPPORTED),
    "unshelve": ("os-shelve:unshelve", "unshelve", NOT_SUPPORTED),
    "resize": ("servers:resize", "resize", NOT_SUPPORTED),
    "confirmResize": ("servers:confirm_resize", "confirmResize", NOT_SUPPORTED),
    "revertResize": ("servers:revert_resize", "revertResize", NOT_SUPPORTED),
    "createImage": ("servers:create_image", "createImage", NOT_SUPPORTED),
    "createBackup": ("os-create-backup", "createBackup", NOT_SUPPORTED),
    "changePassword": ("os-admin-password", "changePassword", "Unable to set password on instance"),
    "migrate": ("os-migrate-server:migrate", "migrate", NOT_SUPPORTED),
    "os-migrateLive": ("os-migrate-server:migrate_live", "os-migrateLive", NOT_SUPPORTED),
    "evacuate": ("os-evacuate", "evacuate", NOT_SUPPORTED),
    "trigger_crash_dump": ("servers:trigger_crash_dump", "trigger_crash_dump", NOT_SUPPORTED),
    "restore": ("os-deferred-delete:restore", "restore", NOT_SUPPORTED),
    "os-getVNCConsole": ("os-remote-consoles", "", NOT_SUPPORTED),
    "os-getSPICEConsole": ("os-remote-consoles", "", NOT_SUPPORTED),
    "os-getSerialConsole": ("os-remote-consoles", "", NOT_SUPPORTED),
}
"""Action to (rule, name of the state check, what is said)."""
GONE = frozenset(("resetNetwork", "addFixedIp", "removeFixedIp"))


class _Reboot(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]


class _Lock(msgspec.Struct, forbid_unknown_fields=True):
    locked_reason: Name | None = None


class _Console(msgspec.Struct, forbid_unknown_fields=True):
    length: int | str | None = None


class _State(msgspec.Struct, forbid_unknown_fields=True):
    state: Literal["active", "error"]


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


class _Rebuild(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    imageRef: str
    name: Name | UnsetType = UNSET
    adminPass: str | None = None
    metadata: Metadata | UnsetType = UNSET
    preserve_ephemeral: bool | str = False
    disk_config: DiskConfig | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
    accessIPv4: str | UnsetType = UNSET
    accessIPv6: str | UnsetType = UNSET
    personality: list[Any] | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    key_name: Name | UnsetType | None = UNSET
    user_data: str | UnsetType | None = UNSET
    trusted_image_certificates: list[str] | UnsetType | None = UNSET
    hostname: str | UnsetType = UNSET


REBUILD_SINCE: Mapping[str, Version] = {
    "description": (2, 19),
    "key_name": (2, 54),
    "user_data": (2, 57),
    "trusted_image_certificates": (2, 63),
    "hostname": (2, 90),
}


class ActionApi:
    """The handlers of actions."""

    def __init__(self, compute: ComputeManager, servers: ServerApi) -> None:
        self._compute = compute
        self._servers = servers
        self._verbs: dict[str, Verb] = {
            "os-start": compute.start,
            "os-stop": compute.stop,
            "pause": compute.pause,
            "unpause": compute.unpause,
            "unlock": compute.unlock,
        }
        self._acts: dict[str, Act] = {
            "reboot": self._reboot,
            "lock": self._lock,
            "forceDelete": self._force_delete,
            "os-getConsoleOutput": self._console,
            "os-resetState": self._reset_state,
            "rebuild": self._rebuild,
            "addSecurityGroup": self._add_group,
            "removeSecurityGroup": self._remove_group,
            "injectNetworkInfo": self._inject,
        }

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, (*self._verbs, *self._acts, *REFUSED, *GONE))
        id = request.path["id"]
        if name in GONE:
            raise Error("This action was removed from the API.", status=410)
        if name in REFUSED:
            rule, action, message = REFUSED[name]
            await self._compute.may(request.ctx, id, rule, action)
            raise Error(message, status=501)
        if name in self._verbs:
            await self._verbs[name](request.ctx, id)
            return ACCEPTED
        return await self._acts[name](request, id, body[name])

    # -- the guest

    async def _reboot(self, request: Request, id: str, said: Any) -> Answer:
        how = _read("reboot", said, _Reboot)
        await self._compute.reboot(request.ctx, id, hard=how.type.upper() == "HARD")
        return ACCEPTED

    async def _rebuild(self, request: Request, id: str, said: Any) -> Answer:
        asked = _read("rebuild", said, _Rebuild)
        version = request.version
        refuse_unknown(asked, version, REBUILD_SINCE, "rebuild")
        if asked.personality is not UNSET and (version >= (2, 57) or asked.personality):
            raise BadRequest("Additional properties are not allowed ('personality' was unexpected)")
        if asked.trusted_image_certificates not in (UNSET, None):
            raise BadRequest("This cloud does not check image certificates.")
        server = await self._compute.rebuild(request.ctx, id, _rebuild(asked, version))
        shown = await self._servers.shown_after(request, server)
        shown["adminPass"] = asked.adminPass or self._servers.password()
        if version >= (2, 54):
            shown["key_name"] = server.key_name
        if version >= (2, 57):
            shown.pop("OS-EXT-SRV-ATTR:user_data", None)
            shown["user_data"] = await self._compute.user_data(request.ctx, id)
        return Answer(status=202, body={"server": shown}, headers={"Location": shown["links"][0]["href"]})

    # -- locks and states

    async def _lock(self, request: Request, id: str, said: Any) -> Answer:
        reason = None
        if said is not None and request.version >= (2, 73):
            reason = _read("lock", said, _Lock).locked_reason
        await self._compute.lock(request.ctx, id, reason)
        return ACCEPTED

    async def _reset_state(self, request: Request, id: str, said: Any) -> Answer:
        await self._compute.reset_state(request.ctx, id, _read("os-resetState", said, _State).state)
        return ACCEPTED

    async def _inject(self, request: Request, id: str, said: Any) -> Answer:
        await self._compute.may(request.ctx, id, "os-admin-actions:inject_network_info", "")
        return ACCEPTED

    async def _force_delete(self, request: Request, id: str, said: Any) -> Answer:
        await self._compute.delete(request.ctx, id, rule="os-deferred-delete:force")
        return ACCEPTED

    # -- console

    async def _console(self, request: Request, id: str, said: Any) -> Any:
        length = _read("os-getConsoleOutput", said, _Console).length
        lines = None if length in (None, "") else inputs.whole(length, "length", least=-1)
        text = (await self._compute.console(request.ctx, id)).decode(errors="replace")
        if lines is not None and lines >= 0:
            text = "\n".join(text.split("\n")[-lines:]) if lines else ""
        return {"output": _CONTROL.sub("", text)}

    # -- security groups

    async def _add_group(self, request: Request, id: str, said: Any) -> Answer:
        await self._compute.add_security_group(request.ctx, id, _read("addSecurityGroup", said, _Group).name)
        return ACCEPTED

    async def _remove_group(self, request: Request, id: str, said: Any) -> Answer:
        await self._compute.remove_security_group(request.ctx, id, _read("removeSecurityGroup", said, _Group).name)
        return ACCEPTED


def routes(compute: ComputeManager, servers: ServerApi) -> list[Route]:
    """The route of actions."""
    return [Route("POST", "/v2.1/servers/{id}/action", ActionApi(compute, servers).act)]


def _rebuild(asked: _Rebuild, version: Version) -> Rebuild:
    fields: dict[str, Any] = {}
    for name, value in (
        ("name", asked.name),
        ("metadata", asked.metadata),
        ("disk_config", asked.disk_config),
        ("description", asked.description),
    ):
        if value is not UNSET:
            fields[name] = value
    if asked.accessIPv4 is not UNSET:
        fields["access_ip_v4"] = check_ip(asked.accessIPv4, 4, "accessIPv4")
    if asked.accessIPv6 is not UNSET:
        fields["access_ip_v6"] = check_ip(asked.accessIPv6, 6, "accessIPv6")
    if asked.hostname is not UNSET:
        fields["hostname"] = check_hostname(asked.hostname, version)
    data = asked.user_data if asked.user_data is UNSET else check_user_data(asked.user_data)
    return Rebuild(
        image_ref=check_uuid(asked.imageRef, "imageRef"), fields=fields, key_name=asked.key_name, user_data=data
    )


def _read(name: str, said: Any, kind: type[T]) -> T:
    """An action's arguments, checked. Raises BadRequest with the path of what is wrong."""
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as err:
        raise BadRequest(f"Invalid input for field/attribute {name}. {explain(err)}") from err
