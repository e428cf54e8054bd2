"""Numbers, flags and names as Nova's clients write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micronova.compute import inputs
from micronova.errors import BadRequest


@given(st.integers(-1, inputs.MAX_INT))
def test_a_number_and_its_digits_are_the_same(value: int) -> None:
    assert inputs.whole(value, "x", least=-1) == inputs.whole(str(value), "x", least=-1) == value


@pytest.mark.parametrize("value", ["", "-", "1.0", "0x1", "\u0661", "9" * 400, -1, inputs.MAX_INT + 1])
def test_what_is_no_number_in_range_is_refused(value: int | str) -> None:
    with pytest.raises(BadRequest):
        inputs.whole(value, "x")


@pytest.mark.parametrize(("value", "meant"), [(True, True), ("on", True), ("True", True), ("0", False), ("no", False)])
def test_flags_come_as_words_too(value: bool | str, meant: bool) -> None:
    assert inputs.flag(value, "x") is meant


def test_another_word_is_no_flag() -> None:
    with pytest.raises(BadRequest, match="not a boolean"):
        inputs.flag("perhaps", "x")


@pytest.mark.parametrize("body", [{}, {"a": 1, "b": 2}, {"c": 1}])
def test_an_action_is_exactly_one_that_is_known(body: dict[str, int]) -> None:
    with pytest.raises(BadRequest):
        inputs.one_action(body, ("a", "b"))
