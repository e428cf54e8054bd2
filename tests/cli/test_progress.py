"""What a person watching sees."""

import io
import re

import pytest

from micronova.cli.progress import Progress


@pytest.fixture
def out():
    return io.StringIO()


def test_a_step_is_one_line_with_its_time(out):
    show = Progress(out)

    with show.step("database"):
        pass

    assert re.fullmatch(r"  database +0\.\d\d s\n", out.getvalue())


def test_a_step_that_fails_is_not_told_as_done(out):
    show = Progress(out)

    with pytest.raises(ValueError), show.step("database"):
        raise ValueError

    assert "" == out.getvalue()


def test_what_a_step_says_stands_behind_its_time(out):
    Progress(out).done("build: spawn", 1.234, "no space left")

    assert "  build: spawn                   1.23 s  no space left\n" == out.getvalue()
