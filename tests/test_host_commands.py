"""Host commands get what they are told on their standard input, however they read it."""

import sys

import pytest

from micronova import command

READS = "import sys; sys.stdout.write(open('/dev/stdin').read())"


@pytest.mark.parametrize("argv", [["cat"], [sys.executable, "-c", READS]], ids=["read", "opened again"])
async def test_a_command_reads_what_it_is_given(argv: list[str]) -> None:
    assert b"a secret" == await command.run(argv, stdin=b"a secret")


def test_it_does_so_on_the_event_loop_that_clouds_run_on() -> None:
    uvloop = pytest.importorskip("uvloop")

    assert b"a secret" == uvloop.run(command.run([sys.executable, "-c", READS], stdin=b"a secret"))


async def test_it_may_be_more_than_a_pipe_holds() -> None:
    data = b"x" * 200_000

    assert data == await command.run(["cat"], stdin=data)
