"""Values survive the way to any database and back; questions get the same answer, in the same order, from each."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from things import Point, Quiet, Thing

from micronova.db import Database, Greater, Less, Like, Not, table
from micronova.db.rows import micros, moment
from micronova.errors import BadRequest, NotFound

LATE = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
EARLY = datetime(1, 1, 1, tzinfo=UTC)
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 123_457, tzinfo=UTC)


def now(coroutine):
    """The result of a coroutine that has nothing to wait for: the database works inline."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


@pytest.fixture
def db(place, clock):
    db = Database(place.fill(Thing, Quiet), clock, inline=True)
    yield db
    db.close()


@pytest.fixture
def keep(db, ctx):
    """A function that stores rows and returns them as stored."""
    return lambda *rows: now(db.write(lambda tx: [tx.insert(row) for row in rows], ctx, why="a test"))


@pytest.fixture
def find(db):
    """A function that returns the ids of what a question finds."""
    return lambda **where: [thing.id for thing in now(db.read(lambda tx: tx.find(Thing, **where)))]


FULL = Thing(
    id="t1",
    owner="o'; DROP TABLE things --",
    name="naïve ☃ 𝄞 \u202e %_\\ \"'",
    address="10.0.0.1",
    secret="s",
    size=2**63 - 1,
    most=-(2**63),
    ratio=0.1,
    share=1e308,
    on=True,
    maybe=False,
    at=MOMENT,
    labels={"ключ": "☃\x00\n"},
    any={"deep": [1, None, {"a": 1.5}], "big": 2**53},
    point=Point(3, "three"),
    points=(Point(1), Point(-(2**40), "two")),
)


def test_every_kind_of_value_survives(db, keep):
    (stored,) = keep(FULL)

    assert stored == now(db.read(lambda tx: tx.get(Thing, "t1")))
    assert FULL == Thing(**{name: getattr(stored, name) for name in Thing.__struct_fields__ if name != "seq"})


def test_nothing_survives_as_nothing(db, keep):
    (stored,) = keep(Thing(id="t1"))

    assert stored == now(db.read(lambda tx: tx.get(Thing, "t1")))
    assert (None, None, None, None, None) == (stored.name, stored.most, stored.maybe, stored.at, stored.point)


def test_values_have_the_types_of_the_class(db, keep):
    keep(Thing(id="t1", on=True, maybe=False, ratio=2.0, share=3.0))

    found = now(db.read(lambda tx: tx.get(Thing, "t1")))

    assert (bool, bool, float, float) == (
        type(found.on),
        type(found.maybe),
        type(found.ratio),
        type(found.share),
    )


def test_moments_are_exact_to_the_microsecond(db, keep):
    moments = [MOMENT, EARLY, LATE, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]

    keep(*(Thing(id=f"{i}", at=moment) for i, moment in enumerate(moments)))

    assert moments == [thing.at for thing in now(db.read(lambda tx: tx.find(Thing, order=(("id", True),))))]


@given(st.integers(-(2**55), 2**57))
def test_microseconds_are_moments_and_back(value):
    assert value == micros(moment(value))
    assert EARLY <= moment(value) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)


def test_a_row_that_is_not_there_is_not_found(db):
    with pytest.raises(NotFound, match="Thing t9"):
        now(db.read(lambda tx: tx.get(Thing, "t9")))


def test_a_number_no_database_holds_is_the_callers_mistake(keep):
    for size in (2**63, -(2**63) - 1, 10**40):
        with pytest.raises(BadRequest):
            keep(Thing(id="t1", size=size))


def test_text_that_is_no_unicode_is_the_callers_mistake(keep):
    with pytest.raises(BadRequest):
        keep(Thing(id="t1", name="\ud800"))


@pytest.fixture
def three(keep):
    keep(
        Thing(id="a", name="alpha", size=1, on=True, at=MOMENT, share=0.5),
        Thing(id="b", name="Al_pha", size=2, maybe=True, at=MOMENT + timedelta(microseconds=1)),
        Thing(id="c", name=None, size=3, most=3, point=Point(1)),
    )


QUESTIONS: list[tuple[dict, str]] = [
    ({}, "abc"),
    ({"name": "alpha"}, "a"),
    ({"name": None}, "c"),
    ({"name": Not(None)}, "ab"),
    ({"name": Not("alpha")}, "bc"),
    ({"name": Like("al%")}, "a"),
    ({"name": Like("%pha")}, "ab"),
    ({"name": Like("Al\\_pha")}, "b"),
    ({"name": Like("al\\_ha")}, ""),
    ({"name": Like("al_ha")}, "a"),
    ({"name": ["alpha", "Al_pha", "gone"]}, "ab"),
    ({"name": []}, ""),
    ({"name": ("'", '"')}, ""),
    ({"size": Less(2)}, "a"),
    ({"size": Greater(2)}, "c"),
    ({"size": {1, 3}}, "ac"),
    ({"size": Not(2)}, "ac"),
    ({"most": None, "size": Greater(1)}, "b"),
    ({"at": MOMENT}, "a"),
    ({"at": Greater(MOMENT)}, "b"),
    ({"at": [MOMENT, EARLY]}, "a"),
    ({"on": True}, "a"),
    ({"on": False}, "bc"),
    ({"on": [True, False]}, "abc"),
    ({"maybe": True}, "b"),
    ({"maybe": Not(True)}, "ac"),
    ({"share": 0.5}, "a"),
    ({"point": Point(1)}, "c"),
    ({"name": Greater("Z")}, "a"),
]


def test_find_answers_alike_everywhere(three, db, find):
    wrong = [
        (where, found)
        for where, ids in QUESTIONS
        if list(ids) != (found := find(order=(("id", True),), **where))
        or len(ids) != now(db.read(lambda tx, where=where: tx.count(Thing, **where)))
    ]

    assert [] == wrong


def test_sums_are_whole_numbers(three, db):
    import sqlalchemy as sa

    things = table(Thing)
    total = sa.select(sa.func.sum(things.c.size), sa.func.coalesce(sa.func.sum(things.c.most), 0))

    ((size, most),) = now(db.read(lambda tx: tx.values(total)))

    assert (6, 3, int, int) == (size, most, type(size), type(most))


def test_a_statement_takes_values_by_name_any_number_of_times(three, db):
    import sqlalchemy as sa

    things = table(Thing)
    size = sa.bindparam("size", type_=sa.BigInteger())
    twice = sa.select(things).where(sa.or_(things.c.size == size, things.c.most == size), things.c.owner == "o")

    found = now(db.read(lambda tx: tx.rows(Thing, twice, size=3)))

    assert ["c"] == [thing.id for thing in found]


TEXTS = st.one_of(st.none(), st.text(st.sampled_from("aBb_ zé☃𝄞"), max_size=2))
THINGS = st.lists(
    st.builds(
        dict,
        name=TEXTS,
        owner=st.just("o"),
        size=st.integers(0, 2),
        most=st.sampled_from([None, 0, 7]),
        share=st.sampled_from([None, 0.5, 2.0]),
        maybe=st.sampled_from([None, True, False]),
        at=st.sampled_from([None, MOMENT, LATE]),
    ),
    max_size=9,
)
ORDERS = st.lists(
    st.tuples(st.sampled_from(["name", "size", "most", "share", "maybe", "at", "on"]), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda pair: pair[0],
)


def expected(things, order):
    """What any database must answer: nulls least, equal rows by id."""
    found = sorted(things, key=lambda thing: thing.id)
    for name, up in reversed(order):
        least = "" if name == "name" else -1
        values = {t.id: least if getattr(t, name) is None else getattr(t, name) for t in found}
        if name == "at":
            values = {id: (value != -1, value) for id, value in values.items()}
        found.sort(key=lambda thing, values=values: values[thing.id], reverse=not up)
    return [thing.id for thing in found]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things=THINGS, order=ORDERS, size=st.integers(1, 4))
def test_pages_give_every_row_exactly_once_in_the_same_order_everywhere(db, ctx, things, order, size):
    rows = [Thing(id=f"{i}", **{**thing, "owner": f"o{i}"}) for i, thing in enumerate(things)]

    def fill(tx):
        for old in tx.find(Thing):
            tx.delete(old)
        for row in rows:
            tx.insert(row)

    now(db.write(fill, ctx, why="a property"))

    def page(after):
        return now(db.read(lambda tx: tx.find(Thing, order=tuple(order), after=after, limit=size)))

    seen, found = [], page(None)
    while found:
        seen += [thing.id for thing in found]
        found = page(found[-1])
        assert len(seen) <= len(rows)

    assert expected(rows, order) == seen
