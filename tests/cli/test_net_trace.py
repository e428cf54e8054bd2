"""`micronova net trace`, as an operator types it."""

import json
import subprocess
import sys

import pytest

ROUNDS = 30


@pytest.fixture
def cloud(tmp_path):
    """A pretended cloud with its first server, asked by words."""

    def ask(*words):
        argv = [sys.executable, "-m", "micronova", *words, "--state", str(tmp_path / "s")]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    try:
        assert 0 == ask("up", "--simulate", "--detach", "--listen", "127.0.0.1:0").returncode
        yield ask
    finally:
        ask("down", "--erase")


@pytest.mark.slow
def test_a_packet_is_traced_from_a_server_by_name_and_the_exit_code_tells(cloud):
    words = ("net", "trace", "hello", "192.0.2.1")
    passed = cloud(*words)
    for _ in range(ROUNDS):  # each is a process: the server is there long before the last
        if passed.returncode == 0:
            break
        passed = cloud(*words)
    told = cloud(*words, "--protocol", "tcp", "--port", "443", "--json")
    dropped = cloud(*words, "--from", "192.0.2.9")
    unknown = cloud("net", "trace", "nope", "192.0.2.1")
    nonsense = cloud("net", "trace", "hello", "nonsense")

    assert (0, "") == (passed.returncode, passed.stderr)
    assert "\nit passes as far as is known here: 192.0.2.1 is not this cloud's" in passed.stdout
    assert "  2. passes   anti-spoofing: source 10.20.0." in passed.stdout
    answer = json.loads(told.stdout)
    assert (True, "tcp 443", "192.0.2.1") == (answer["passes"], answer["packet"], answer["destination"])
    assert (1, "") == (dropped.returncode, dropped.stderr)
    assert "it is dropped at hop 2, anti-spoofing, because source 192.0.2.9 is neither" in dropped.stdout
    assert (1, "micronova: there is no port nope, and no server of that name or id has one\n") == (
        unknown.returncode,
        unknown.stderr,
    )
    assert (1, "micronova: 'nonsense' is not an IP address\n") == (nonsense.returncode, nonsense.stderr)
