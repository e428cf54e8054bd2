"""NX-OS, and EOS as another table, pass the kit against a switch that keeps state; what goes wrong there is told."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
from nexus import EVERY, Nexus, NexusPort
from simulator_words import ENABLE, PASSWORD
from switch_world import settings, switch

from micronova.errors import DriverError, Rejected
from micronova.network.drivers.cisco.driver import CliSwitch
from micronova.network.drivers.cisco.eos import EOS
from micronova.network.drivers.cisco.nxos import NXOS
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch import SwitchChange, SwitchDriver, SwitchPortSpec, VlanSpec
from micronova.testing.switch_kit import SwitchDriverKit, carrying

PORTS = ("Ethernet1/1", "Ethernet1/2")
UPLINK = "port-channel10"
HOSTS = {"node1": [PORTS[0]], "node2": [PORTS[1]]}


@pytest.fixture
async def nexus() -> AsyncIterator[Nexus]:
    async with Nexus(*PORTS, UPLINK) as nexus:
        yield nexus


@pytest.fixture
def driver(nexus: Nexus, tmp_path: Path) -> CliSwitch:
    return made(nexus, tmp_path)


def made(nexus: Nexus, folder: Path, *, table: CommandTable = NXOS, **others: object) -> CliSwitch:
    return switch(table, folder, settings(nexus.port, **{"hosts": HOSTS, **others}))


class TestNxos(SwitchDriverKit):
    @pytest.fixture
    def driver(self, nexus: Nexus, tmp_path: Path) -> SwitchDriver:
        return made(nexus, tmp_path)

    @pytest.fixture
    def ports(self) -> tuple[str, str]:
        return PORTS


@pytest.mark.slow
class TestEos(TestNxos):
    @pytest.fixture
    def driver(self, nexus: Nexus, tmp_path: Path) -> SwitchDriver:
        return made(nexus, tmp_path, table=EOS)


def told(nexus: Nexus) -> list[str]:
    """Commands that change something."""
    return [line for line in nexus.heard if not line.startswith(("show ", "terminal ", "copy ", "configure", "exit"))]


async def test_what_is_as_wanted_is_not_written_again(nexus: Nexus, driver: CliSwitch) -> None:
    await driver.apply(carrying(PORTS[0], 107))
    nexus.heard.clear()

    await driver.apply(carrying(PORTS[0], 107))

    assert [] == told(nexus)
    assert "configure terminal" not in nexus.heard


async def test_what_waits_meanwhile_is_done_in_one_session(nexus: Nexus, driver: CliSwitch) -> None:
    await asyncio.gather(*(driver.apply(carrying(PORTS[0], id)) for id in range(101, 121)))

    assert 2 == nexus.logins
    assert 1 == nexus.most_busy
    assert set(range(101, 121)) < set(nexus.vlans)


async def test_an_access_port_keeps_its_untagged_vlan_when_it_becomes_a_trunk(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.ports[PORTS[0]] = NexusPort(access=55)

    await driver.apply(carrying(PORTS[0], 107))

    port = nexus.ports[PORTS[0]]
    assert ("trunk", 55, {55, 107}) == (port.mode, port.native, port.allowed)


async def test_a_trunk_never_carries_everything_on_its_way(nexus: Nexus, driver: CliSwitch) -> None:
    await driver.apply(carrying(PORTS[0], 107))

    lines = told(nexus)
    assert lines.index("switchport trunk allowed vlan 1,107") < lines.index("switchport mode trunk")


async def test_a_trunk_that_carries_everything_carries_all_but_what_is_dropped(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.ports[PORTS[0]] = NexusPort(mode="trunk")

    await driver.apply(carrying(PORTS[0], 107))
    untouched = set(nexus.ports[PORTS[0]].allowed)
    await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=PORTS[0], drops=(107,)),)))

    assert EVERY == untouched
    assert EVERY - {107} == nexus.ports[PORTS[0]].allowed


async def test_uplinks_carry_every_vlan_that_is_there(nexus: Nexus, tmp_path: Path) -> None:
    nexus.ports[UPLINK] = NexusPort(mode="trunk", allowed={1, 20})
    driver = made(nexus, tmp_path, uplinks=[UPLINK])

    await driver.apply(SwitchChange(vlans=(VlanSpec(id=107), VlanSpec(id=108))))
    await driver.apply(SwitchChange(gone=(108,)))

    assert {1, 20, 107} == nexus.ports[UPLINK].allowed


async def test_long_lists_are_told_and_read_in_parts(nexus: Nexus, driver: CliSwitch) -> None:
    ids = tuple(range(200, 900, 2))
    nexus.vlans.update({id: f"n{id}" for id in ids})

    await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=PORTS[0], carries=ids),)))

    assert {1, *ids} == nexus.ports[PORTS[0]].allowed
    assert max(map(len, nexus.heard)) < 200
    assert set(ids) == set((await driver.facts(PORTS[:1])).ports[0].vlans)


async def test_a_routed_port_is_left_alone(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.ports[PORTS[0]] = NexusPort(routed=True)

    with pytest.raises(DriverError, match="routed"):
        await driver.apply(carrying(PORTS[0], 107))

    assert [] == told(nexus)


async def test_a_refusal_is_told_in_the_words_of_the_switch(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.fault("vlan 107", "refuse", sentence="ERROR: Too many VLANs, limit is 506")

    with pytest.raises(DriverError, match=r"rack1: ERROR: Too many VLANs, limit is 506 \(to: vlan 107\)") as caught:
        await driver.apply(carrying(PORTS[0], 107))

    assert DriverError is caught.type
    await driver.apply(carrying(PORTS[0], 107))
    assert {1, 107} == nexus.ports[PORTS[0]].allowed


async def test_a_switch_that_does_not_understand_is_not_asked_again(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.fault("switchport mode trunk", "refuse", sentence="% Invalid command at '^' marker.")

    with pytest.raises(Rejected, match="Invalid command"):
        await driver.apply(carrying(PORTS[0], 107))


async def test_a_refusal_of_what_somebody_else_did_meanwhile_is_success(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.ports[PORTS[0]] = NexusPort(mode="trunk", allowed={1})
    nexus.fault("name net-107", "refuse", sentence="ERROR: VLAN is being configured by another session")
    change = SwitchChange(vlans=(VlanSpec(id=107, name="net-107"),))

    async def meanwhile() -> None:
        await nexus.hears("name net-107")
        nexus.vlans[107] = "net-107"

    await asyncio.gather(driver.apply(change), meanwhile())

    assert "net-107" == nexus.vlans[107]


async def test_what_a_switch_logs_and_warns_is_no_refusal(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.remarks["interface"] = "%ETHPORT-5-IF_UP: Interface Ethernet1/1 is up"
    nexus.remarks["switchport mode"] = "% Warning: this port has portfast\nWarning: edge trunk"

    await driver.apply(carrying(PORTS[0], 107))

    assert "trunk" == nexus.ports[PORTS[0]].mode


async def test_what_the_switch_took_and_did_not_do_is_told(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.fault("switchport mode trunk", "ignore")

    with pytest.raises(DriverError, match="took the change, but port Ethernet1/1 does not carry VLAN 107"):
        await driver.apply(carrying(PORTS[0], 107))

    await driver.apply(carrying(PORTS[0], 107))
    assert "trunk" == nexus.ports[PORTS[0]].mode


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "lose"])
@pytest.mark.parametrize(
    "command",
    ["show vlan", "configure", "vlan 107", "name", "interface", "switchport trunk", "switchport mode", "exit", "copy"],
)
async def test_a_connection_lost_at_any_command_is_made_good(
    nexus: Nexus, driver: CliSwitch, command: str, kind: str
) -> None:
    nexus.fault(command, kind)

    await driver.apply(carrying(PORTS[0], 107))

    assert "net-107" == nexus.vlans[107]
    assert ("trunk", {1, 107}) == (nexus.ports[PORTS[0]].mode, nexus.ports[PORTS[0]].allowed)


async def test_a_connection_lost_again_and_again_is_told(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.fault("vlan 107", "cut", times=2)

    with pytest.raises(DriverError, match="rack1"):
        await driver.apply(carrying(PORTS[0], 107))

    await driver.apply(carrying(PORTS[0], 107))
    assert 107 in nexus.vlans


async def test_a_switch_that_hangs_is_given_up_and_healed_by_repeating(nexus: Nexus, tmp_path: Path) -> None:
    driver = made(nexus, tmp_path, command_seconds=0.3)
    nexus.fault("interface", "hang")

    with pytest.raises(DriverError, match="did not answer '.*' within 0.3 s"):
        await driver.apply(carrying(PORTS[0], 107))

    patient = made(nexus, tmp_path)
    await patient.apply(carrying(PORTS[0], 107))
    assert {1, 107} == nexus.ports[PORTS[0]].allowed


async def test_many_who_wait_for_a_switch_that_is_silent_are_told_at_once(nexus: Nexus, driver: CliSwitch) -> None:
    await nexus.stop()

    ends = await asyncio.gather(*(driver.apply(carrying(PORTS[0], id)) for id in (101, 102)), return_exceptions=True)

    assert all(isinstance(end, DriverError) and "can't be reached" in str(end) for end in ends)
    await nexus.start()


async def test_changes_are_saved_once_and_saving_is_tried_again(nexus: Nexus, driver: CliSwitch) -> None:
    nexus.fault("copy", "refuse", sentence="ERROR: Configuration is locked")
    await driver.apply(carrying(PORTS[0], 107))

    for _ in range(2):
        await driver.apply(carrying(PORTS[0], 107))

    assert 2 == sum(line.startswith("copy") for line in nexus.heard)


async def test_nothing_is_saved_where_that_is_not_wanted(nexus: Nexus, tmp_path: Path) -> None:
    await made(nexus, tmp_path, save=False).apply(carrying(PORTS[0], 107))

    assert not any(line.startswith("copy") for line in nexus.heard)


async def test_a_port_that_is_not_in_the_file_is_rejected(nexus: Nexus, driver: CliSwitch) -> None:
    with pytest.raises(Rejected, match="port-channel10 is nobody's"):
        await driver.apply(carrying(UPLINK, 107))

    assert [] == nexus.heard


async def test_a_banner_that_looks_like_a_prompt_is_none(tmp_path: Path) -> None:
    async with Nexus(*PORTS, banner="#######\n# tell noc> #\nAsk noc#\n") as nexus:
        await made(nexus, tmp_path).apply(carrying(PORTS[0], 107))

    assert 107 in nexus.vlans


async def test_privileges_are_asked_for_with_their_own_secret(tmp_path: Path) -> None:
    async with Nexus(*PORTS, enabled=False) as nexus:
        await made(nexus, tmp_path).apply(carrying(PORTS[0], 107))
        with pytest.raises(DriverError, match="refused micronova the privileged mode"):
            await made(nexus, tmp_path, enable_password_file="login.secret").facts()

    assert 107 in nexus.vlans


async def test_the_host_key_is_the_one_of_the_fingerprint(nexus: Nexus, tmp_path: Path) -> None:
    right = nexus.key.get_fingerprint()
    wrong = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()

    facts = await made(nexus, tmp_path, check_host_key=True, fingerprint=right).facts()
    with pytest.raises(DriverError, match="host key"):
        await made(nexus, tmp_path, check_host_key=True, fingerprint=wrong).facts()

    assert (1, [1]) == (nexus.logins, [vlan.id for vlan in facts.vlans])


async def test_the_host_key_is_one_of_known_hosts(nexus: Nexus, tmp_path: Path) -> None:
    public = nexus.key.export_public_key().decode()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / "right").write_text(f"[127.0.0.1]:{nexus.port} {public}")
    (tmp_path / "wrong").write_text(f"[127.0.0.1]:{nexus.port} {other}")

    await made(nexus, tmp_path, check_host_key=True, known_hosts="right").facts()
    with pytest.raises(DriverError, match="host key"):
        await made(nexus, tmp_path, check_host_key=True, known_hosts="wrong").facts()

    assert 1 == nexus.logins


async def test_files_that_are_not_what_they_should_be_are_told(nexus: Nexus, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "hosts").write_bytes(b"\xff\xfe nonsense\n\x00")

    with pytest.raises(DriverError, match="key_file is no key"):
        await made(nexus, tmp_path, key_file="key").facts()
    with pytest.raises(DriverError, match="rack1: "):
        await made(nexus, tmp_path, check_host_key=True, known_hosts="hosts").facts()

    assert 0 == nexus.logins


async def test_a_key_opens_without_a_password(nexus: Nexus, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    nexus.trusted = key.convert_to_public()
    key.write_private_key(str(tmp_path / "key"))
    (tmp_path / "key").chmod(0o600)

    facts = await made(nexus, tmp_path, key_file="key", password_file="").facts()

    assert [1] == [vlan.id for vlan in facts.vlans]


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
async def test_an_old_switch_is_reached_only_when_old_algorithms_are_allowed(tmp_path: Path) -> None:
    async with Nexus(*PORTS, old=True) as nexus:
        with pytest.raises(DriverError, match="rack1: "):
            await made(nexus, tmp_path).facts()
        facts = await made(nexus, tmp_path, legacy_algorithms=True).facts()

    assert [1] == [vlan.id for vlan in facts.vlans]


async def test_a_refused_login_is_told_without_the_password(nexus: Nexus, tmp_path: Path) -> None:
    driver = made(nexus, tmp_path)
    (tmp_path / "login.secret").write_text("wr0ng-one")

    with pytest.raises(DriverError, match="rack1 refused the login of micronova") as caught:
        await driver.facts()

    assert "wr0ng-one" not in "".join(traceback.format_exception(caught.value))


async def test_no_secret_is_logged_or_shown(nexus: Nexus, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    driver = made(nexus, tmp_path, command_seconds=0.3)
    nexus.fault("vlan 107", "refuse")
    nexus.fault("interface", "hang")
    nexus.fault("name", "cut", times=2)
    texts = [repr(driver), repr(driver.__dict__), repr(driver._login)]

    for _ in range(5):
        with contextlib.suppress(DriverError):
            await driver.apply(carrying(PORTS[0], 107))
        try:
            await driver.apply(carrying(PORTS[0], 108))
        except DriverError as err:
            texts += ["".join(traceback.format_exception(err)), repr(err.facts)]

    texts += [caplog.text, *nexus.heard]
    assert not any(secret in text for text in texts for secret in (PASSWORD, ENABLE))


async def test_a_change_given_up_takes_nobody_along(nexus: Nexus, driver: CliSwitch) -> None:
    first = asyncio.ensure_future(driver.apply(carrying(PORTS[0], 101)))
    await nexus.hears("terminal length 0")
    others = [asyncio.ensure_future(driver.apply(carrying(PORTS[1], id))) for id in (102, 103)]
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.wait([first, *others])

    assert first.cancelled()
    assert [None, None] == [other.exception() for other in others]
    assert {102, 103} < set(nexus.vlans)
