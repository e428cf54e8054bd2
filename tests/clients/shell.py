"""Runs in the client's own environment: the unmodified `openstack` command, imported once, forked for every command.

Importing the client costs several processor seconds; a fork of a process that has done it costs milliseconds. What
runs in the fork is what the console script runs: `openstackclient.shell.main(argv)`.
"""

import importlib
import json
import os
import pkgutil
import socket
import sys
import tempfile
import traceback

ROOMS = ("common", "compute", "identity", "image", "network")


def warm_up() -> None:
    """Import what the commands of our rooms will."""
    import openstackclient.shell  # noqa: F401
    from openstack import connection  # noqa: F401

    for room in ROOMS:
        package = importlib.import_module(f"openstackclient.{room}")
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(found.name)
    for room in ("block_storage", "compute", "identity", "image", "network"):
        package = importlib.import_module(f"openstack.{room}")
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if "tests" not in found.name:
                importlib.import_module(found.name)


def serve(path: str) -> None:
    """One request and one answer per connection, each in a fork."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    print("ready", flush=True)
    while True:
        asked, _ = listening.accept()
        while os.waitpid(-1, os.WNOHANG)[0] if _children() else 0:
            pass
        if os.fork() == 0:
            listening.close()
            answer(asked)
        asked.close()


def _children() -> bool:
    try:
        return bool(open(f"/proc/self/task/{os.getpid()}/children").read().strip())
    except OSError:
        return False


def answer(asked: socket.socket) -> None:
    """Run one command as its own process would, then end this process."""
    with asked.makefile("r") as words:
        wanted = json.loads(words.readline())
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code = run(wanted["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
        out.seek(0)
        err.seek(0)
        told = {"code": code, "out": out.read(), "err": err.read()}
    asked.sendall(json.dumps(told).encode())
    asked.shutdown(socket.SHUT_WR)
    os._exit(0)


def run(argv: list[str]) -> int:
    import openstackclient.shell

    try:
        return int(openstackclient.shell.main(argv) or 0)
    except SystemExit as err:
        return err.code if isinstance(err.code, int) else int(err.code is not None)
    except BaseException:
        traceback.print_exc()
        return 70


if __name__ == "__main__":
    warm_up()
    serve(sys.argv[1])
