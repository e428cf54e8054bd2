"""How a process that serves us ends."""

import os
import select
import signal

from micronova.errors import DriverError

STOP_MILLISECONDS = 3000


def end(pid: int) -> None:
    """The process has ended: asked to, and after a while made to. Raises DriverError when neither ends it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(fd, number)
            if ended.poll(STOP_MILLISECONDS):
                return
    except ProcessLookupError:
        return
    finally:
        os.close(fd)
    raise DriverError(f"process {pid} did not end")
