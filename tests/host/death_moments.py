"""What a process of the file driver is about to do to its host, in words: from the interpreter's audit events."""

from pathlib import Path
from typing import Any

RECORDS = {"volumes": "volume", "snapshots": "snapshot", "exports": "export"}
TOOLS = ("qemu-img", "qemu-storage-daemon")


def named(event: str, args: tuple[Any, ...]) -> str:
    """Before what it is."""
    if event == "subprocess.Popen":
        return f"before {_command([str(word) for word in args[1]])} is started"
    if event == "socket.connect":
        return "before the storage daemon is spoken to"
    path = Path(str(args[1] if event == "socket.bind" else args[0]))
    return f"before {_file(event, path, args)}"


def _command(words: list[str]) -> str:
    found = next((number for number, word in enumerate(words) if word in TOOLS), None)
    if found is None:
        return words[0]
    return f"`qemu-img {words[found + 1]}`" if words[found] == "qemu-img" else "the storage daemon"


def _file(event: str, path: Path, args: tuple[Any, ...]) -> str:
    """What becomes of a file, by what it is: a layer or its draft, a record or its draft, the daemon's, another's."""
    if path.suffix in (".ctl", ".nbd"):
        return {
            "os.remove": "an old socket of the daemon is removed",
            "socket.bind": f"the daemon's {'control' if path.suffix == '.ctl' else 'export'} socket is made",
        }.get(event, "the rights of the daemon's socket are set")
    if path.suffix == ".log":
        return f"the daemon's log is {'removed' if event == 'os.remove' else 'opened'}"
    if path.parent.name in RECORDS:
        record = f"the record of the {RECORDS[path.parent.name]}"
        if event == "os.rename":
            return f"{record} {'takes effect' if path.name.startswith('.') else 'gets its new name'}"
        return f"{record} is {'removed' if event == 'os.remove' else 'drafted'}"
    if path.parent.name != "layers":
        return "the file of another is linked" if event == "os.link" else "the other name of the file is removed"
    layer = "a new layer" if path.name.startswith(".") else "a layer"
    return {
        "open": f"the file of {layer} is opened",
        "os.rename": f"{layer} gets its name",
        "os.truncate": f"{layer} gets its size",
        "os.chmod": f"the rights of {layer} are set",
        "os.remove": f"{layer} is removed",
    }[event]
