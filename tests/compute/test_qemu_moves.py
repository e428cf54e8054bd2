"""What becomes of a move when QEMU does not do what it is told."""

import pytest

from micronova.compute.driver import GuestSpec, VolumeDisk
from micronova.compute.drivers.qemu import blocks, moves
from micronova.errors import DriverError, Rejected
from micronova.volume.driver import NbdConnection

VOLUME = "33333333-3333-4333-8333-333333333333"


class StuckMonitor:
    """QEMU whose copy is given up, and never is: its new place does not answer."""

    async def ask(self, command, arguments=None, **rest):
        found = {"query-jobs": [{"id": f"move-{blocks.prefix(VOLUME)}-abcde", "status": "aborting"}]}
        return found.get(command, {})


async def test_a_copy_that_is_never_given_up_is_told_and_waited_for_no_longer(monkeypatch):
    monkeypatch.setattr(moves, "_SETTLING", 0.1)

    with pytest.raises(DriverError, match="not given up"):
        await moves.unfollow(StuckMonitor(), VOLUME)


def disk(place):
    return VolumeDisk(volume_id=VOLUME, connection=NbdConnection(export=VOLUME, path=f"/{place}"))


class Folder:
    """A guest's folder, of which nothing is written down anew."""

    def read_spec(self):
        return GuestSpec(id="one", name="one", vcpus=1, ram_mib=64, volumes=(disk("old"),))


class AbortingMonitor:
    """QEMU that gives a held copy up when it is to be finished: the guest goes on in the old place."""

    def __init__(self):
        self.jobs = [{"id": f"move-{blocks.stem(disk('new'))}", "status": "pending"}]

    async def ask(self, command, arguments=None, **rest):
        match command:
            case "query-jobs":
                return self.jobs
            case "job-finalize":
                self.jobs[0]["status"] = "concluded"
            case "job-dismiss":
                self.jobs.clear()
            case "qom-list":
                return [{"name": blocks.disk_name(VOLUME), "type": "child<virtio-blk-pci>"}]
            case "qom-get":
                return f"{blocks.stem(disk('old'))}-f"
            case _:
                raise AssertionError(command)
        return None


async def test_a_guest_that_goes_on_in_its_old_place_is_told_for_good_and_keeps_it():
    monitor = AbortingMonitor()

    for _ in range(2):
        with pytest.raises(Rejected, match="old place still"):
            await moves.switch(Folder(), monitor, disk("new"))

    assert [] == monitor.jobs
