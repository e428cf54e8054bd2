"""States, statuses and the patterns that users filter by."""

import pytest

from micronova.compute import states
from micronova.compute.create import host_name
from micronova.compute.patterns import matcher
from micronova.errors import BadRequest, WrongState


def test_statuses() -> None:
    pairs = [("active", None), ("active", "rebooting_hard"), ("active", "spawning"), ("building", "spawning")]

    assert ["ACTIVE", "HARD_REBOOT", "ACTIVE", "BUILD"] == [states.status(*pair) for pair in pairs]
    assert "UNKNOWN" == states.status("nonsense", None)


def test_every_status_finds_its_servers() -> None:
    reboot = states.states_of(["reboot"])
    active = states.states_of(["ACTIVE"])

    assert reboot is not None
    assert active is not None
    assert states.is_in("active", "rebooting", reboot)
    assert not states.is_in("active", None, reboot)
    assert states.is_in("active", "powering-off", active)
    assert not states.is_in("active", "rebooting", active)
    assert set() == states.states_of(["DELETED"])
    assert None is states.states_of(["nonsense"])


def test_what_was_never_active_is_not_stopped() -> None:
    with pytest.raises(WrongState, match="never been active"):
        states.check("stop", "s1", "error", None, launched=False)
    with pytest.raises(WrongState, match="task_state powering-off"):
        states.check("stop", "s1", "active", "powering-off", launched=True)
    states.check("stop", "s1", "active", None, launched=True)


@pytest.mark.parametrize("text", ["(a+)+$", "a*b*c*d", "[", "(?=a)*", "x" * 300 + "*", "\\"])
def test_a_pattern_that_could_take_long_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        matcher(text, "name")


def test_patterns() -> None:
    assert matcher("eb", "name")("WEB1")
    assert matcher("^w.*1$", "name")("web1")
    assert not matcher("^e", "name")("web1")


def test_host_names() -> None:
    wanted = {"Web Server_1": "web-server-1", "a.b": "a-b", "ümläut": "mlut", "日本": "server-s1", "-x-": "x"}

    assert wanted == {name: host_name(name, "s1") for name in wanted}
