"""Volume types on the wire: their extra specs, who sees them, how they encrypt, which one is the default.

{"volume_type": {"id": "…", "name": "fast", "is_public": true, "extra_specs": {"volume_backend_name": "ssd"}, …}}
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Name, both
from micronova.volume.api.kinds import Changed, SpecApi, Specs, TypeName, changed_values, new_values, page, specs_of
from micronova.volume.db import VolumeType
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
_E = "volume_extension:"


class _New(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: TypeName
    description: Name | None = None
    extra_specs: Specs | None = None
    is_public: bool | str = msgspec.field(name="os-volume-type-access:is_public", default=True)


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    volume_type: _New


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    volume_type: Changed


class _Project(msgspec.Struct, forbid_unknown_fields=True):
    project: str


class _Encryption(msgspec.Struct, kw_only=True):
    provider: str | UnsetType = UNSET
    control_location: str | UnsetType = UNSET
    cipher: str | UnsetType | None = UNSET
    key_size: int | str | UnsetType | None = UNSET


class _Encrypt(msgspec.Struct, forbid_unknown_fields=True):
    encryption: _Encryption


class _DefaultType(msgspec.Struct, forbid_unknown_fields=True):
    volume_type: str


class _SetDefault(msgspec.Struct, forbid_unknown_fields=True):
    default_type: _DefaultType


class TypeApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager) -> None:
        self._types = volume.types
        self._volume = volume

    async def list(self, request: Request) -> Any:
        text = request.get("is_public")
        public = None if text in (None, "None", "none") else inputs.flag(text, "is_public")
        if not request.ctx.is_admin:
            public = None
        rows = await self._types.find(request.ctx, public)
        text = request.get("extra_specs")
        if text is not None and request.version >= (3, 52):
            wanted = inputs.pairs_of(text, "extra_specs")
            rows = [row for row in rows if wanted.items() <= row.extra_specs.items()]
        limit = request.limit(1000)
        offset = inputs.whole(request.get("offset") or 0, "offset")
        return {"volume_types": [show_type(request, row) for row in page(rows, request.get("marker"), offset, limit)]}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).volume_type
        values = new_values(said.name, said.description, said.is_public)
        row = await self._types.create(request.ctx, {**values, "extra_specs": specs_of(said.extra_specs or {})})
        return {"volume_type": show_type(request, row)}

    async def show(self, request: Request) -> Any:
        return {"volume_type": show_type(request, await self._get(request), one=True)}

    async def _get(self, request: Request) -> VolumeType:
        return await self._types.get(request.ctx, request.path["id"])

    async def update(self, request: Request) -> Any:
        values = changed_values((await request.body(_Update)).volume_type, "Volume type")
        return {"volume_type": show_type(request, await self._types.update(request.ctx, request.path["id"], values))}

    async def delete(self, request: Request) -> Any:
        await self._types.delete(request.ctx, request.path["id"])
        return ACCEPTED

    # -- who sees it

    async def access(self, request: Request) -> Any:
        row = await self._get(request)
        if row.is_public:
            raise NotFound("Access list not available for public volume types.")
        return {"volume_type_access": [{"volume_type_id": row.id, "project_id": one} for one in row.access]}

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("addProjectAccess", "removeProjectAccess"))
        request.policy.require(request.ctx, f"{_E}volume_type_access:{name}")
        project = inputs.read(name, body[name], _Project).project
        change = self._types.allow if name == "addProjectAccess" else self._types.disallow
        await change(request.ctx, request.path["id"], project)
        return ACCEPTED

    # -- encryption

    async def encryption(self, request: Request) -> Any:
        row = await self._get(request)
        return {} if row.encryption is None else show_encryption(row)

    async def one_encryption(self, request: Request) -> Any:
        row = await self._get(request)
        key = request.path["key"]
        shown = show_encryption(row) if row.encryption is not None else {}
        if key not in shown:
            raise NotFound(f"Volume type encryption for type {row.id} has no {key}.")
        return {key: shown[key]}

    async def encrypt(self, request: Request) -> Any:
        said = (await request.body(_Encrypt)).encryption
        values = _encryption(said)
        if said.provider is UNSET or said.control_location is UNSET:
            raise BadRequest(
                "Invalid input for field/attribute encryption. 'provider' and 'control_location' are required"
            )
        made = await self._types.encrypt(request.ctx, request.path["id"], values, fresh=True)
        shown = {"volume_type_id": request.path["id"], "encryption_id": made.id}
        facts = {name: getattr(made, name) for name in ("provider", "control_location", "cipher", "key_size")}
        return {"encryption": {**shown, **facts}}

    async def reencrypt(self, request: Request) -> Any:
        values = _encryption((await request.body(_Encrypt)).encryption)
        row = await self._get(request)
        if row.encryption is None or row.encryption.id != request.path["key"]:
            raise NotFound(f"Volume type encryption for type {row.id} does not exist.")
        await self._types.encrypt(request.ctx, row.id, values, fresh=False)
        return {"encryption": values}

    async def stop_encrypting(self, request: Request) -> Any:
        await self._types.stop_encrypting(request.ctx, request.path["id"])
        return ACCEPTED

    # -- defaults

    async def defaults(self, request: Request) -> Any:
        rows = await self._types.defaults(request.ctx)
        return {"default_types": [{"project_id": row.project_id, "volume_type_id": row.type_id} for row in rows]}

    async def default_of(self, request: Request) -> Any:
        row = await self._types.default_of(request.ctx, request.path["id"])
        return {"default_type": {"project_id": row.project_id, "volume_type_id": row.type_id}}

    async def set_default(self, request: Request) -> Any:
        ref = (await request.body(_SetDefault)).default_type.volume_type
        row = await self._types.set_default(request.ctx, request.path["id"], ref)
        return {"default_type": {"project_id": row.project_id, "volume_type_id": row.type_id}}

    async def unset_default(self, request: Request) -> Any:
        await self._types.unset_default(request.ctx, request.path["id"])
        return Answer(status=204)


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of volume types."""
    api, one = TypeApi(volume), "/types/{id}"
    spec = SpecApi(volume.types, "extra_specs", "Volume Type")
    specs, encryption = f"{one}/extra_specs", f"{one}/encryption"
    spec_rule, encryption_rule = f"{_E}types_extra_specs", f"{_E}volume_type_encryption"
    return [
        *both("GET", "/types", api.list, f"{_E}type_get_all"),
        *both("POST", "/types", api.create, f"{_E}type_create"),
        *both("GET", one, api.show, f"{_E}type_get"),
        *both("PUT", one, api.update, f"{_E}type_update"),
        *both("DELETE", one, api.delete, f"{_E}type_delete"),
        *both("GET", specs, spec.list, f"{spec_rule}:index"),
        *both("POST", specs, spec.create, f"{spec_rule}:create"),
        *both("GET", specs + "/{key}", spec.show, f"{spec_rule}:show"),
        *both("PUT", specs + "/{key}", spec.update, f"{spec_rule}:update"),
        *both("DELETE", specs + "/{key}", spec.delete, f"{spec_rule}:delete"),
        *both("GET", f"{one}/os-volume-type-access", api.access, f"{_E}volume_type_access"),
        *both("POST", f"{one}/action", api.act),
        *both("GET", encryption, api.encryption, f"{encryption_rule}:get"),
        *both("POST", encryption, api.encrypt, f"{encryption_rule}:create"),
        *both("GET", encryption + "/{key}", api.one_encryption, f"{encryption_rule}:get"),
        *both("PUT", encryption + "/{key}", api.reencrypt, f"{encryption_rule}:update"),
        *both("DELETE", encryption + "/{key}", api.stop_encrypting, f"{encryption_rule}:delete"),
        Route("GET", "/v3/default-types", api.defaults, f"{_E}default_get_all", since=(3, 62)),
        Route("GET", "/v3/default-types/{id}", api.default_of, f"{_E}default_get", since=(3, 62)),
        Route("PUT", "/v3/default-types/{id}", api.set_default, f"{_E}default_set_or_update", since=(3, 62)),
        Route("DELETE", "/v3/default-types/{id}", api.unset_default, f"{_E}default_unset", since=(3, 62)),
    ]


def show_type(request: Request, row: VolumeType, *, one: bool = False) -> dict[str, Any]:
    """A volume type; what back ends it chooses is for administrators."""
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "is_public": row.is_public,
        "description": row.description,
        "os-volume-type-access:is_public": row.is_public,
    }
    if request.ctx.is_admin:
        shown["extra_specs"] = row.extra_specs
        if one:
            shown["qos_specs_id"] = row.qos_id
    else:
        shown["extra_specs"] = {key: value for key, value in row.extra_specs.items() if key in VISIBLE}
    return shown


VISIBLE = frozenset(("multiattach", "RESKEY:availability_zones", "replication_enabled"))
"""Extra specs that users may know."""


def show_encryption(row: VolumeType) -> dict[str, Any]:
    """How a type encrypts; it must."""
    kind = row.encryption
    assert kind is not None
    return {
        "volume_type_id": row.id,
        "encryption_id": kind.id,
        "provider": kind.provider,
        "control_location": kind.control_location,
        "cipher": kind.cipher,
        "key_size": kind.key_size,
        "created_at": inputs.bare(kind.created_at),
        "updated_at": inputs.bare(kind.updated_at),
        "deleted": False,
        "deleted_at": None,
    }


def _encryption(said: _Encryption) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if said.provider is not UNSET:
        if not said.provider.strip():
            raise BadRequest("Invalid input for field/attribute provider. It must not be empty.")
        values["provider"] = said.provider
    if said.control_location is not UNSET:
        if said.control_location not in ("front-end", "back-end"):
            raise BadRequest("Invalid input for field/attribute control_location. It must be front-end or back-end.")
        values["control_location"] = said.control_location
    if said.cipher is not UNSET:
        values["cipher"] = said.cipher
    if said.key_size is not UNSET:
        values["key_size"] = None if said.key_size is None else inputs.whole(said.key_size, "key_size", least=1)
    if not values:
        raise BadRequest("Invalid input for field/attribute encryption. {} does not have enough properties")
    return values
