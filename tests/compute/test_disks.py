"""Names, buses and limits of disks."""

import pytest

from micronova.compute import disks
from micronova.compute.db import DiskPlan
from micronova.errors import BadRequest, Conflict


@pytest.mark.parametrize(("place", "name"), [(0, "a"), (25, "z"), (26, "aa"), (27, "ab"), (51, "az"), (52, "ba")])
def test_letters_go_on_after_z(place: int, name: str) -> None:
    assert name == disks.letter(place)


def test_the_next_free_name_is_taken() -> None:
    assert "/dev/vdb" == disks.choose_device(["/dev/vda", "/dev/vdc"], None, disks.VIRTIO)
    assert "/dev/sdb" == disks.choose_device(["/dev/vda"], None, disks.SCSI)
    assert "/dev/vdc" == disks.choose_device(["/dev/vda"], "/dev/xvdc", disks.VIRTIO)
    assert "/dev/sdc" == disks.choose_device(["/dev/vda"], "/dev/sdc", disks.VIRTIO)


def test_a_name_is_given_once() -> None:
    with pytest.raises(Conflict):
        disks.choose_device(["/dev/vda", "/dev/vdb"], "/dev/sdb", disks.VIRTIO)
    with pytest.raises(BadRequest):
        disks.choose_device([], "/dev/../x", disks.VIRTIO)
    with pytest.raises(BadRequest, match=r"device path \(/dev/banana\) is invalid"):
        disks.choose_device([], "/dev/banana", disks.VIRTIO)


def test_the_disk_that_boots_is_the_first_wherever_it_stands() -> None:
    plans = [
        DiskPlan(source="blank"),
        DiskPlan(source="blank", device="/dev/vdc"),
        DiskPlan(source="image", boot_index=0),
    ]

    named = disks.named(plans, own_root=False, bus=disks.VIRTIO)
    beside = disks.named(plans[:2], own_root=True, bus=disks.VIRTIO)

    assert ["/dev/vdb", "/dev/vdc", "/dev/vda"] == [plan.device for plan in named]
    assert ["/dev/vdb", "/dev/vdc"] == [plan.device for plan in beside]


@pytest.mark.parametrize(
    ("qos", "limits"),
    [
        ({"total_iops_sec": "500", "read_iops_sec": "100"}, {"iops-total": 500}),
        ({"read_bytes_sec": "1000", "write_bytes_sec": "2000"}, {"bps-read": 1000, "bps-write": 2000}),
        ({"total_iops_sec_per_gb": "10"}, {"iops-total": 40}),
        ({"total_bytes_sec_max": "5"}, {}),
        ({"total_bytes_sec": "5", "total_bytes_sec_max": "9"}, {"bps-total": 5, "bps-total-max": 9}),
        ({"size_iops_sec": "4096"}, {}),
        ({"consumer": "x", "total_iops_sec": "many", "colour": "red"}, {}),
    ],
)
def test_limits_are_said_in_the_drivers_words(qos: dict[str, str], limits: dict[str, int]) -> None:
    assert limits == disks.throttle(qos, 4)
