"""What a server looks like in each microversion: exactly these fields and no newer one."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from micronova.compute.db import Fault, FlavorFacts, Server
from micronova.compute.show import Beside, Show, Sight
from micronova.network.summary import SeenNic

AT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
SERVER = Server(
    id="s1",
    seq=10,
    project_id="p1",
    user_id="u1",
    name="web1",
    hostname="web1",
    host="h1",
    zone="nova",
    vm_state="active",
    power_state=1,
    image_id="i1",
    flavor_id="1",
    flavor=FlavorFacts(id="1", name="tiny", vcpus=1, ram_mib=128, disk_gib=1, extra_specs={"a": "b"}),
    vcpus=1,
    ram_mib=128,
    reservation_id="r-1",
    created_at=AT,
    updated_at=AT,
    launched_at=AT,
)
BESIDE = Beside(
    nics={"s1": (SeenNic("private", "fa:16:3e:00:00:01", (("n", "10.0.0.2", 4), ("n", "fd00::2", 6))),)},
    security_groups={"s1": ("default",)},
    user_data={"s1": "eA=="},
    groups={"s1": ("g1",)},
    hosts={"h1": "UP"},
)
ALL = Sight(extended=True, host_status=True, extra_specs=True, details=True)
OLDEST = frozenset(
    (
        "id",
        "name",
        "status",
        "tenant_id",
        "user_id",
        "metadata",
        "hostId",
        "image",
        "flavor",
        "created",
        "updated",
        "addresses",
        "accessIPv4",
        "accessIPv6",
        "links",
        "OS-DCF:diskConfig",
        "progress",
        "OS-EXT-AZ:availability_zone",
        "config_drive",
        "key_name",
        "OS-SRV-USG:launched_at",
        "OS-SRV-USG:terminated_at",
        "OS-EXT-STS:task_state",
        "OS-EXT-STS:vm_state",
        "OS-EXT-STS:power_state",
        "security_groups",
        "os-extended-volumes:volumes_attached",
    )
)
CAME: list[tuple[int, str, bool]] = [
    (1, "OS-EXT-SRV-ATTR:host OS-EXT-SRV-ATTR:instance_name OS-EXT-SRV-ATTR:hypervisor_hostname", True),
    (
        3,
        "OS-EXT-SRV-ATTR:hostname OS-EXT-SRV-ATTR:kernel_id OS-EXT-SRV-ATTR:ramdisk_id OS-EXT-SRV-ATTR:launch_index "
        "OS-EXT-SRV-ATTR:reservation_id OS-EXT-SRV-ATTR:root_device_name OS-EXT-SRV-ATTR:user_data",
        True,
    ),
    (9, "locked", False),
    (16, "host_status", True),
    (19, "description", False),
    (26, "tags", False),
    (63, "trusted_image_certificates", False),
    (71, "server_groups", False),
    (73, "locked_reason", False),
    (90, "OS-EXT-SRV-ATTR:hostname", False),
    (96, "pinned_availability_zone", False),
]


class Asked(msgspec.Struct):
    """As much of a request as Show reads."""

    version: tuple[int, int]
    root: str = "http://cloud/compute"


def show(minor: int, sight: Sight) -> Show:
    return Show(Asked((2, minor)), sight)  # type: ignore[arg-type]


@pytest.mark.parametrize("admin", [False, True])
def test_no_field_comes_before_its_microversion(admin: bool) -> None:
    sight = ALL if admin else Sight()

    for minor in range(1, 97):
        shown = show(minor, sight).full(SERVER, BESIDE, groups=True)
        wanted = set(OLDEST)
        for since, fields, only_admin in CAME:
            if minor >= since and (admin or not only_admin):
                wanted |= set(fields.split())
        assert wanted == set(shown), minor


def test_the_flavor_is_embedded_from_2_47_on() -> None:
    assert {"id", "links"} == set(show(46, ALL).full(SERVER, BESIDE)["flavor"])
    shown = show(47, ALL).full(SERVER, BESIDE)["flavor"]
    assert ("tiny", 1, 128, {"a": "b"}) == (shown["original_name"], shown["vcpus"], shown["ram"], shown["extra_specs"])
    assert "extra_specs" not in show(47, Sight()).full(SERVER, BESIDE)["flavor"]


def test_addresses_moments_and_links() -> None:
    shown = show(1, Sight()).full(SERVER, BESIDE)

    address = {"OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}
    assert [
        {"version": 4, "addr": "10.0.0.2", **address},
        {"version": 6, "addr": "fd00::2", **address},
    ] == shown["addresses"]["private"]
    assert ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000678") == (
        shown["created"],
        shown["OS-SRV-USG:launched_at"],
    )
    assert ["http://cloud/compute/v2.1/servers/s1", "http://cloud/compute/servers/s1"] == [
        link["href"] for link in shown["links"]
    ]
    assert "instance-0000000a" == show(1, ALL).full(SERVER, BESIDE)["OS-EXT-SRV-ATTR:instance_name"]


def test_a_fault_is_shown_only_in_error_and_its_details_only_to_administrators() -> None:
    fault = Fault(code=500, message="no", created_at=AT, details="much more")
    broken = msgspec.structs.replace(SERVER, vm_state="error", fault=fault)

    seen: list[Any] = [
        show(1, sight).full(server, BESIDE).get("fault")
        for server, sight in (
            (msgspec.structs.replace(SERVER, fault=fault), ALL),
            (broken, Sight()),
            (broken, ALL),
        )
    ]

    plain = {"code": 500, "message": "no", "created": "2026-01-02T03:04:05Z"}
    assert [None, plain, {**plain, "details": "much more"}] == seen


def test_updates_answer_without_extensions_before_2_75() -> None:
    shown = show(74, ALL).plain(SERVER, BESIDE)

    assert not any(name.startswith(("OS-EXT", "OS-SRV")) for name in shown)
    assert [{"version": 4, "addr": "10.0.0.2"}, {"version": 6, "addr": "fd00::2"}] == shown["addresses"]["private"]
