"""A Nexus that keeps state: NX-OS's command line over SSH on loopback, as far as VLANs and ports go, with faults.

VLAN lists, prompts and sentences are as NX-OS writes them. Faults are told by the command they happen at.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from simulator_words import ENABLE, PASSWORD, USER

OLD_ALGORITHMS = {
    "kex_algs": ["diffie-hellman-group14-sha1"],
    "encryption_algs": ["aes128-cbc"],
    "mac_algs": ["hmac-sha1"],
    "signature_algs": ["ssh-rsa"],
}
FAST_ALGORITHMS = {"kex_algs": ["curve25519-sha256"], "encryption_algs": ["aes128-gcm@openssh.com"]}
EVERY = set(range(1, 4095))
INVALID = "                 ^\n% Invalid command at '^' marker."


@dataclass
class NexusPort:
    mode: str = "access"
    access: int = 1
    native: int = 1
    allowed: set[int] = field(default_factory=lambda: set(EVERY))
    routed: bool = False

    def lines(self) -> list[str]:
        lines = ["no switchport"] if self.routed else []
        if self.mode == "trunk":
            lines.append("switchport mode trunk")
        if self.access != 1:
            lines.append(f"switchport access vlan {self.access}")
        if self.native != 1:
            lines.append(f"switchport trunk native vlan {self.native}")
        if self.allowed != EVERY:
            words = listed(self.allowed)
            lines.append(f"switchport trunk allowed vlan {','.join(words[:8]) or 'none'}")
            lines += [
                f"switchport trunk allowed vlan add {','.join(words[at : at + 8])}" for at in range(8, len(words), 8)
            ]
        return lines


@dataclass
class Fault:
    """What happens at the next `times` commands that match: refuse, ignore, hang, cut before it or lose after it."""

    pattern: str
    kind: str
    times: int
    sentence: str


class Nexus:
    """The switch. `vlans` and `ports` are what it has, `heard` every command it was told, `logins` how many came."""

    def __init__(self, *ports: str, enabled: bool = True, banner: str = "", old: bool = False) -> None:
        self.name = "nexus-of-the-first-row"
        self.vlans: dict[int, str] = {1: "default"}
        self.ports = {port: NexusPort() for port in ports}
        self.startup: dict[int, str] = {}
        self.heard: list[str] = []
        self.remarks: dict[str, str] = {}
        self.news = asyncio.Condition()
        self.logins = 0
        self.busy = self.most_busy = 0
        self.port = 0
        self.key = asyncssh.generate_private_key("ssh-rsa" if old else "ssh-ed25519")
        self.trusted: asyncssh.SSHKey | None = None
        self._algorithms: dict[str, list[str]] = OLD_ALGORITHMS if old else FAST_ALGORITHMS
        self._enabled = enabled
        self._banner = banner
        self._faults: list[Fault] = []
        self._listener: asyncssh.SSHAcceptor | None = None

    async def start(self) -> None:
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_host_keys=[self.key],
            server_factory=lambda: Door(self),
            process_factory=self._serve,
            line_editor=False,
            **self._algorithms,
        )
        self.port = self._listener.get_port()

    async def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await self._listener.wait_closed()

    async def __aenter__(self) -> "Nexus":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def fault(self, pattern: str, kind: str, *, times: int = 1, sentence: str = "ERROR: not now") -> None:
        self._faults.append(Fault(pattern, kind, times, sentence))

    async def hears(self, line: str) -> None:
        """The switch was told a line."""
        async with self.news:
            await self.news.wait_for(lambda: line in self.heard)

    def at_fault(self, line: str) -> Fault | None:
        for fault in self._faults:
            if fault.times and re.match(fault.pattern, line):
                fault.times -= 1
                return fault
        return None

    async def _serve(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            await Dialogue(self, process, self._enabled, self._banner).run()
        except (asyncssh.Error, ConnectionError, EOFError):
            pass
        finally:
            self.busy -= 1
            process.exit(0)


class Door(asyncssh.SSHServer):
    """Lets in who knows the password."""

    def __init__(self, nexus: Nexus) -> None:
        self._nexus = nexus

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return self._nexus.trusted is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._nexus.logins += 1
        return (username, key) == (USER, self._nexus.trusted)

    def validate_password(self, username: str, password: str) -> bool:
        self._nexus.logins += 1
        return (username, password) == (USER, PASSWORD)


class Dialogue:
    """One session: its mode and what it talks about."""

    def __init__(
        self, nexus: Nexus, process: asyncssh.SSHServerProcess[str] | None, enabled: bool = True, banner: str = ""
    ) -> None:
        self._nexus = nexus
        self._process: Any = process
        self._mode = ""
        self._enabled = enabled
        self._subject: int | str = ""
        self._banner = banner

    async def run(self) -> None:
        self._process.stdout.write(self._banner.replace("\n", "\r\n"))
        while True:
            name = self._nexus.name[:20] if self._mode else self._nexus.name
            self._process.stdout.write(f"\r\n{name}{self._mode}{'#' if self._enabled else '>'} ")
            line = await self._line()
            self._process.stdout.write(f"{line}\r\n")
            if self._process.stdin.at_eof():
                return
            if line:
                await self._hear(line)

    async def _line(self) -> str:
        return (await self._process.stdin.readline()).strip()

    async def _hear(self, line: str) -> None:
        async with self._nexus.news:
            self._nexus.heard.append(line)
            self._nexus.news.notify_all()
        fault = self._nexus.at_fault(line)
        kind = fault.kind if fault else ""
        if kind == "hang":
            await asyncio.Event().wait()
        if kind == "cut":
            self._process.channel.get_connection().abort()
            return
        if kind in ("refuse", "ignore"):
            said = fault.sentence if fault and kind == "refuse" else ""
        elif line == "enable":
            said = await self._enable()
        else:
            said = self.do(line) if self._enabled else INVALID
            said = "\n".join([said, *(text for start, text in self._nexus.remarks.items() if line.startswith(start))])
        if kind == "lose":
            self._process.channel.get_connection().abort()
            return
        if said:
            self._process.stdout.write(said.replace("\n", "\r\n"))

    async def _enable(self) -> str:
        self._process.stdout.write("Password: ")
        self._enabled = await self._line() == ENABLE
        self._process.stdout.write("\r\n")
        return "" if self._enabled else "% Access denied"

    def do(self, line: str) -> str:
        """What the switch says to a line, which it has then done."""
        if line == "exit":
            self._mode = "" if self._mode == "(config)" else "(config)"
            return ""
        if line.startswith(("terminal ", "copy running-config startup-config", "write memory")):
            self._nexus.startup = dict(self._nexus.vlans)
            return (
                "" if line.startswith("terminal") else "[########################################] 100%\nCopy complete."
            )
        if line == "configure terminal":
            self._mode = "(config)"
            return "Enter configuration commands, one per line. End with CNTL/Z."
        if line.startswith("show "):
            return self._show(line.removeprefix("show "))
        return self._configure(line) if self._mode else INVALID

    def _show(self, what: str) -> str:
        if what.startswith("vlan"):
            rows = (f"{id:<4} {name:<32} active    Eth1/1, Eth1/2" for id, name in sorted(self._nexus.vlans.items()))
            head = "\nVLAN Name                             Status    Ports\n---- ---- --------- ----\n"
            return head + "\n".join(rows) + "\n"
        found = re.match(r"running-config interfaces? (\S+)$", what)
        port = self._nexus.ports.get(found[1]) if found else None
        if found is None or port is None:
            return "                              ^\n% Invalid interface format at '^' marker."
        body = "\n".join(f"  {line}" for line in port.lines())
        return (
            f"\n!Command: show running-config interface {found[1]}\n\nversion 9.3(5)\n\ninterface {found[1]}\n{body}\n"
        )

    def _configure(self, line: str) -> str:
        vlan = re.match(r"(no )?vlan (\d+)$", line)
        if vlan:
            return self._vlan(int(vlan[2]), gone=bool(vlan[1]))
        port = re.match(r"interface (\S+)$", line)
        if port:
            if port[1] not in self._nexus.ports:
                return "                ^\n% Invalid interface format at '^' marker."
            self._mode, self._subject = "(config-if)", port[1]
            return ""
        if self._mode == "(config-vlan)" and line.startswith("name "):
            return self._name(line.removeprefix("name "))
        if self._mode == "(config-if)" and line.startswith("switchport"):
            return self._switchport(self._nexus.ports[str(self._subject)], line.removeprefix("switchport").strip())
        return INVALID

    def _vlan(self, id: int, *, gone: bool) -> str:
        if not 1 <= id <= 4094:
            return "% Invalid value/range"
        if gone:
            self._nexus.vlans.pop(id, None)
            return ""
        self._nexus.vlans.setdefault(id, f"VLAN{id:04d}")
        self._mode, self._subject = "(config-vlan)", id
        return ""

    def _name(self, name: str) -> str:
        if name in self._nexus.vlans.values() and self._nexus.vlans[int(self._subject)] != name:
            return "ERROR: VLAN name already exists"
        self._nexus.vlans[int(self._subject)] = name
        return ""

    def _switchport(self, port: NexusPort, words: str) -> str:
        allowed = re.match(r"trunk allowed vlan (?:(add|remove) )?([\d,-]+)$", words)
        native = re.match(r"trunk native vlan (\d+)$", words)
        if allowed:
            ids = unlisted(allowed[2])
            change = {"add": port.allowed | ids, "remove": port.allowed - ids, None: ids}
            port.allowed = change[allowed[1]]
        elif native:
            port.native = int(native[1])
        elif words == "mode trunk":
            port.mode = "trunk"
        elif words:
            return INVALID
        return ""


def listed(ids: set[int]) -> list[str]:
    """Ids and ranges, as the switch lists them."""
    found: list[list[int]] = []
    for id in sorted(ids):
        if found and found[-1][-1] == id - 1:
            found[-1].append(id)
        else:
            found.append([id])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]


def unlisted(words: str) -> set[int]:
    """The ids of a list."""
    ids: set[int] = set()
    for part in words.split(","):
        first, _, last = part.partition("-")
        ids |= set(range(int(first), int(last or first) + 1))
    return ids
