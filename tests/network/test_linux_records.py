"""Names and records of the Linux network driver: found again, never another cloud's."""

from pathlib import Path

import pytest

from micronova.errors import DriverError, Rejected
from micronova.network.drivers.served.names import Names, check_device, check_id, mac_of
from micronova.network.drivers.served.records import NetworkRecord, PortRecord, Records
from micronova.testing.network_kit import network_spec, port_spec


def test_names_fit_interfaces_and_differ_by_cloud_network_and_kind(tmp_path: Path) -> None:
    clouds = [Names("mn", tmp_path / "a"), Names("mn", tmp_path / "b"), Names("xyz", tmp_path / "a")]

    names = [
        name
        for cloud in clouds
        for id in ("one", "two")
        for name in (cloud.bridge(id), cloud.service(id), cloud.link(id))
    ]

    assert len(names) == len(set(names))
    assert {15} == {len(name) for name in names}
    assert names[0] == Names("mn", tmp_path / "a").bridge("one")


def test_an_alias_tells_its_owner_to_its_own_cloud_only(tmp_path: Path) -> None:
    ours, theirs = Names("mn", tmp_path / "a"), Names("mn", tmp_path / "b")

    alias = ours.alias("port", "p1", "n1")

    owner = ours.owner(alias)
    assert owner is not None
    assert ("port", "p1", "n1") == (owner.kind, owner.id, owner.network_id)
    assert theirs.owner(alias) is None
    assert ours.owner("somebody's uplink") is None


def test_macs_are_local_and_no_group(tmp_path: Path) -> None:
    assert "02" == mac_of("anything")[:2]
    assert mac_of("one") != mac_of("two")


@pytest.mark.parametrize("wrong", ["", "x" * 16, "a b", 'a"b', "../x", "-x"])
def test_a_device_that_can_not_be_is_rejected(wrong: str) -> None:
    with pytest.raises(Rejected):
        check_device(wrong)


@pytest.mark.parametrize("wrong", ["", "../etc", "a b", "x" * 65])
def test_an_id_that_can_not_be_a_file_is_rejected(wrong: str) -> None:
    with pytest.raises(Rejected):
        check_id(wrong)


def test_records_are_read_again(tmp_path: Path) -> None:
    network = NetworkRecord(spec=network_spec(1), number=7)
    port = PortRecord(spec=port_spec(2, network=1), mark=9, made=True)
    first = Records(tmp_path)
    first.load()
    first.put_network(network)
    first.put_port(port)

    second = Records(tmp_path)
    second.load()

    assert {network.spec.id: network} == second.networks
    assert [port] == second.ports_of(network.spec.id)


def test_a_half_written_record_is_not_read(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.load()
    (tmp_path / "ports" / ".x.json.new").write_text('{"spec"')

    records.load()

    assert {} == records.ports


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.load()
    (tmp_path / "ports" / "x.json").write_text("{")

    with pytest.raises(DriverError, match="damaged"):
        records.load()


def test_erased_records_leave_no_file(tmp_path: Path) -> None:
    records = Records(tmp_path / "network")
    records.load()
    records.put_network(NetworkRecord(spec=network_spec(1), number=7))

    records.erase()

    assert not (tmp_path / "network").exists()
