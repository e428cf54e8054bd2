"""Passwords: right or wrong, and nothing told by the time it takes."""

import pytest

from micronova.clock import SystemClock
from micronova.identity.passwords import Cost, Passwords

CHEAP = Cost(passes=1, memory_kib=8)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(SystemClock(), CHEAP, threads=0)


async def test_only_the_right_password_is_right(passwords: Passwords) -> None:
    stored = await passwords.hash("right")

    assert await passwords.verify(stored, "right")
    assert not await passwords.verify(stored, "wrong")
    assert not await passwords.verify("", "right")
    assert not await passwords.verify("not a hash", "right")


async def test_a_random_secret_is_256_bits_and_verifies_without_slow_hashing(passwords: Passwords) -> None:
    secret, stored = passwords.new_secret()

    assert 43 == len(secret)
    assert await passwords.verify(stored, secret)
    assert not await passwords.verify(stored, "wrong")


async def test_the_same_work_is_done_for_somebody_and_nobody(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, (_, fast) = await passwords.hash("right"), passwords.new_secret()
    parameters: list[str] = []
    verify = passwords._verify
    monkeypatch.setattr(passwords, "_verify", lambda s, p: parameters.append(s.rsplit("$", 2)[0]) or verify(s, p))

    for hashed in (stored, "", fast):
        await passwords.verify(hashed, "wrong")

    assert 3 == len(parameters)
    assert 1 == len(set(parameters))


async def test_hashing_runs_beside_the_event_loop() -> None:
    passwords = Passwords(SystemClock(), CHEAP, threads=2)

    stored = await passwords.hash("right")

    assert await passwords.verify(stored, "right")
    passwords.close()


def test_the_cost_is_what_owasp_asks_for() -> None:
    assert (2, 19_456) == (Cost().passes, Cost().memory_kib)
