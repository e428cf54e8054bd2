"""One user's volumes over HTTP, for clouds as processes; and what of volumes is on a host of such a cloud."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
from outside import Cloud, Session, find_processes, wait_for

from micronova.clock import SystemClock
from micronova.volume.driver import NbdConnection

TLS = """
[plugin.file]
tls = "psk"
tls_folder = "{keys}"
"""


def make_keys(folder: Path, *names: str) -> None:
    """The folder holds a key for each of these hosts."""
    folder.mkdir(parents=True)
    lines = [f"{name}:{SystemClock().secret(32).hex()}\n" for name in names]
    (folder / "keys.psk").write_text("".join(lines))


def daemons(cloud: Cloud) -> list[int]:
    """The storage daemons of volumes of a host."""
    found = []
    for pid in find_processes("qemu-storage-daemon"):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink().is_relative_to(cloud.state):
                found.append(pid)
    return found


def layers(cloud: Cloud) -> list[str]:
    """The files of volumes on a host."""
    folder = cloud.state / "volumes" / "file" / "layers"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def cut_power(cloud: Cloud) -> None:
    """The host's services and storage daemons are gone at once."""
    cloud.kill()
    for pid in daemons(cloud):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Volumes:
    """One user's volumes, over HTTP."""

    def __init__(self, session: Session) -> None:
        self.session = session
        project = session.get("/identity/v3/projects?name=admin")["projects"][0]["id"]
        self.base = f"/volume/v3/{project}"
        session.headers["OpenStack-API-Version"] = "volume 3.70"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.ask(method, self.base + path, body)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def get(self, id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/volumes/{id}")["volume"])

    def until(self, id: str, status: str, host: str = "") -> dict[str, Any]:
        """The volume once it has this status, on this host."""

        def there() -> dict[str, Any] | None:
            found = self.get(id)
            return found if found["status"] == status and host in found["os-vol-host-attr:host"] else None

        return wait_for(there, 180, every=0.2, said=f"volume {id} becoming {status}")  # type: ignore[return-value]

    def attached(self, id: str, host: str, ip: str) -> tuple[str, NbdConnection]:
        """An attachment by somebody on a host, and how he reaches the volume."""
        connector = {"host": host, "ip": ip, "initiator": host}
        body = {"attachment": {"volume_uuid": id, "connector": connector}}
        made = self.ask("POST", "/attachments", body)["attachment"]
        self.ask("POST", f"/attachments/{made['id']}/action", {"os-complete": {}})
        info = made["connection_info"]
        known = {name: info[name] for name in NbdConnection.__struct_fields__ if name in info}
        return made["id"], msgspec.convert(known, NbdConnection)

    def detach(self, id: str, attachment: str) -> None:
        self.ask("DELETE", f"/attachments/{attachment}")
        self.until(id, "available")

    def pools(self) -> set[str]:
        """The pools that are up."""
        found = self.ask("GET", "/scheduler-stats/get_pools?detail=true")["pools"]
        return {one["name"] for one in found if one["capabilities"]["backend_state"] == "up"}
