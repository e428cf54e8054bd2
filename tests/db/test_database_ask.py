"""A question of one select, without a transaction around it."""

import pytest
from widgets import Widget

from micronova.context import admin_context
from micronova.errors import NotFound
from micronova.testing.ground import ground


@pytest.fixture
def runtime():
    return ground(Widget)


async def test_a_single_select_sees_what_was_committed(runtime):
    ctx = admin_context(runtime.clock)
    await runtime.db.read(lambda tx: tx.count(Widget))

    await runtime.db.write(lambda tx: tx.insert(Widget(id="w1")), ctx, why="made")

    assert 1 == await runtime.db.ask(lambda tx: tx.count(Widget))


async def test_what_the_question_raises_is_raised_and_the_next_one_is_answered(runtime):
    with pytest.raises(NotFound):
        await runtime.db.ask(lambda tx: tx.get(Widget, "w1"))

    assert 0 == await runtime.db.ask(lambda tx: tx.count(Widget))
