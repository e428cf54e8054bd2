"""From the command to the first token, and what a cloud takes when nobody asks: `python -m bench.start`.

The floor of the start is Python importing the libraries that no request can do without; of memory, the same process.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.cloud import Client, Cloud, Process, Result
from micronova.clock import SystemClock

FIRST_LOOKS = 12
"""Seconds until everything that is done every ten seconds was done once: a first time compiles its statements."""
LIBRARIES = (
    "import asyncio, sqlite3, click, falcon.asgi, msgspec, sqlalchemy, uvicorn, uvloop, argon2, cryptography.fernet"
)
MEMORY = "; import sys; print(end='x', flush=True); sys.stdin.read()"


def _libraries() -> tuple[float, float]:
    """Seconds until Python has imported the libraries, and its memory then."""
    clock = SystemClock()
    begun = clock.monotonic()
    words = [sys.executable, "-c", LIBRARIES + MEMORY]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.read(1)
        took, rss = clock.monotonic() - begun, Process(child.pid).rss_mib()
        child.stdin.close()
    return took, rss


async def _start(folder: Path) -> tuple[float, float]:
    """Wall seconds from the command on an empty folder to the first token, and CPU seconds of the cloud for it."""
    clock = SystemClock()
    begun = clock.monotonic()
    with Cloud(folder) as cloud:
        async with Client(cloud.url) as client:
            await client.log_in(cloud)
        return clock.monotonic() - begun, cloud.process.cpu_seconds()


async def _idle(folder: Path, seconds: float) -> list[Result]:
    with Cloud(folder) as cloud:
        async with Client(cloud.url) as client:
            await client.log_in(cloud)
        await asyncio.sleep(FIRST_LOOKS if seconds > FIRST_LOOKS else 0)
        idle = await cloud.process.idle_percent(seconds)
        return [("idle RSS", cloud.process.rss_mib(), "MiB"), ("idle CPU", idle, "%")]


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    starts, floors = [], []
    for number in range(1 if quick else 5):
        starts.append(await _start(folder / f"start{number}"))
        floors.append(_libraries())
    return [
        ("cold start to first token", statistics.median(wall for wall, _ in starts), "s"),
        ("cold start: CPU", statistics.median(cpu for _, cpu in starts), "s"),
        ("libraries imported: floor", statistics.median(took for took, _ in floors), "s"),
        ("libraries imported: RSS", statistics.median(rss for _, rss in floors), "MiB"),
        *await _idle(folder / "idle", 2 if quick else 20),
    ]


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit) for starts, and for memory and CPU of a cloud that rests; takes half a minute."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(Path(folder), quick=quick))


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.3f} {unit}")
