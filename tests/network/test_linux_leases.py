"""The files that tell dnsmasq of leases: one per port, written when they differ, and never with a line too many."""

from pathlib import Path

import msgspec
import pytest

from micronova.errors import Rejected
from micronova.network.driver import DhcpOptionSpec, Lease, PortSpec
from micronova.network.drivers.served import leases
from micronova.network.drivers.served.leases import LeaseFiles, Stale
from micronova.testing.network_kit import port_spec


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeaseFiles:
    monkeypatch.setattr(leases.os, "chown", lambda *_: None)
    monkeypatch.setattr(leases.os, "fchown", lambda *_: None)
    files = LeaseFiles(tmp_path / "net")
    files.prepare()
    return files


def named(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_comes_is_a_file_and_nothing_to_read_again(files: LeaseFiles) -> None:
    stale = [files.put([port_spec(1)]), files.put([port_spec(1), port_spec(2)])]

    assert [False, False] == stale
    assert [port_spec(1).id, port_spec(2).id] == named(files.hosts) == named(files.names)
    assert "fa:16:3e:00:00:01,10.60.0.11,h-kit00000001,1h\n" == (files.hosts / port_spec(1).id).read_text()


def test_what_changes_or_goes_is_to_be_read_again(files: LeaseFiles) -> None:
    files.put([port_spec(1), port_spec(2)])
    moved = msgspec.structs.replace(port_spec(1), leases=(Lease(ip="10.60.0.99", hostname="moved"),))
    bare = msgspec.structs.replace(port_spec(2), leases=())

    assert files.put([moved])
    assert files.put([bare])
    assert not files.put([moved, bare])
    assert files.drop(port_spec(1).id)
    assert not files.drop(port_spec(1).id)
    assert [] == named(files.hosts) == named(files.names)


def test_a_new_process_finds_what_is_there_and_removes_what_should_not_be(files: LeaseFiles, tmp_path: Path) -> None:
    files.put([port_spec(1), port_spec(2)])
    later = LeaseFiles(tmp_path / "net")

    assert later.settle([port_spec(1)])
    assert not later.settle([port_spec(1), port_spec(3)])
    assert [port_spec(1).id, port_spec(3).id] == named(later.hosts)


def test_a_file_that_somebody_removed_comes_back(files: LeaseFiles) -> None:
    files.put([port_spec(1)])
    (files.names / port_spec(1).id).unlink()

    files.settle([port_spec(1)])

    assert [port_spec(1).id] == named(files.hosts) == named(files.names)


@pytest.mark.parametrize("lease", [Lease(ip="10.0.0.1", hostname="a b"), Lease(ip="nowhere", hostname="a")])
def test_a_lease_that_can_not_be_is_rejected(lease: Lease) -> None:
    with pytest.raises(Rejected):
        leases.check(msgspec.structs.replace(port_spec(1), leases=(lease,)))


def option(value: str, name: str = "66") -> DhcpOptionSpec:
    return DhcpOptionSpec(name=name, value=value)


def with_options(*options: DhcpOptionSpec) -> PortSpec:
    return msgspec.structs.replace(port_spec(1), dhcp_options=options)


def test_a_port_with_options_has_a_tag_and_a_file_of_them(files: LeaseFiles) -> None:
    port = with_options(
        DhcpOptionSpec(name="bootfile-name", value="pxelinux.0"),
        DhcpOptionSpec(name="tag:!ipxe,67", value="undionly.kpxe"),
        DhcpOptionSpec(name="router", value=""),
        DhcpOptionSpec(name="dns-server", value="[fd00::1]", ip_version=6),
    )

    files.put([port])

    assert "fa:16:3e:00:00:01,10.60.0.11,h-kit00000001,1h\n" == (files.hosts / port.id).read_text()
    assert f"dhcp-mac=set:port-{port.id},fa:16:3e:00:00:01\n" == (files.tags / port.id).read_text()
    assert [
        f"tag:port-{port.id},option:bootfile-name,pxelinux.0",
        f"tag:port-{port.id},tag:!ipxe,67,undionly.kpxe",
        f"tag:port-{port.id},option:router",
        f"tag:port-{port.id},option6:dns-server,[fd00::1]",
    ] == (files.options / port.id).read_text().splitlines()


def test_options_that_go_take_their_file_along(files: LeaseFiles) -> None:
    files.put([with_options(DhcpOptionSpec(name="66", value="x"))])

    assert Stale.START == files.put([port_spec(1)])
    assert [] == named(files.options) == named(files.tags)
    assert [port_spec(1).id] == named(files.hosts)
    assert not files.settle([port_spec(1)])


def test_a_port_without_leases_may_have_options(files: LeaseFiles) -> None:
    port = msgspec.structs.replace(with_options(DhcpOptionSpec(name="23", value="[::]", ip_version=6)), leases=())

    files.settle([port])

    assert "" == (files.hosts / port.id).read_text()
    assert [port.id] == named(files.options) == named(files.tags)


def test_only_the_first_and_the_last_option_of_a_port_take_a_new_server(files: LeaseFiles) -> None:
    steps = [port_spec(1), with_options(option("x")), with_options(option("y"), option("z", "67")), port_spec(1)]

    stale = [files.put([step]) for step in steps]
    files.put([with_options(option("x"))])

    assert [Stale.NOT, Stale.START, Stale.READ, Stale.START] == stale
    assert Stale.START == files.settle([])


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "x"), ("66\n67", "x"), ("66", "x\ndhcp-script=/bin/sh"), ("", "x")]
)
def test_an_option_that_can_not_be_is_rejected(name: str, value: str) -> None:
    with pytest.raises(Rejected):
        leases.check(with_options(DhcpOptionSpec(name=name, value=value)))
