"""Which back end a volume goes to: pure, and explained with numbers."""

import pytest

from micronova.volume.choice import Candidate, Wanted, choose, meets


def pool(id, **more):
    return Candidate(
        id=id, host=id, backend="b", zone="z", **{"thin": True, "total_gib": 100.0, "free_gib": 100.0, **more}
    )


def test_the_pool_with_the_most_room_wins():
    made = choose(
        Wanted(size_gib=10), [pool("a", promised_gib=50), pool("b", promised_gib=20), pool("c", promised_gib=70)]
    )

    assert "b" == made.pool
    assert {"a": 50.0, "b": 80.0, "c": 30.0} == made.facts["weights"]


def test_equal_pools_are_taken_by_name_whatever_their_order():
    assert "a" == choose(Wanted(size_gib=1), [pool("b"), pool("a")]).pool


def test_thin_pools_promise_more_than_they_have_thick_ones_do_not():
    thin, thick = pool("thin", over_commit=2.0, promised_gib=150), pool("thick", thin=False, free_gib=40.0)

    assert (50.0, 40.0) == (thin.room_gib, thick.room_gib)
    assert 30.0 == pool("kept", thin=False, free_gib=40.0, reserved_percent=10).room_gib


@pytest.mark.parametrize(
    ("wanted", "more", "said"),
    [
        ({"size_gib": 200}, {}, "room: a lacks 100.0 GiB"),
        ({"zone": "other"}, {}, "zone: a is in z, not other"),
        ({}, {"alive": False}, "alive: a does not answer"),
        ({}, {"enabled": False}, "enabled: a is disabled"),
        ({"only": ("b",)}, {}, "asked for: a"),
        ({"never": ("a",)}, {}, "asked for: a"),
        ({"specs": {"kind": "ssd"}}, {"facts": {"kind": "hdd"}}, "extra specs: a has kind hdd, not ssd"),
        ({"specs": {"capabilities:kind": "ssd"}}, {}, "extra specs: a has capabilities:kind None, not ssd"),
    ],
)
def test_nowhere_is_told_with_the_reason(wanted, more, said):
    made = choose(Wanted(**{"size_gib": 1, **wanted}), [pool("a", **more)])

    assert "" == made.pool
    assert said in made.message


def test_no_pools_at_all_is_told():
    assert "No back end can take 1 GiB. there are none" == choose(Wanted(size_gib=1), []).message


def test_a_spec_of_another_scope_is_not_for_us():
    assert "a" == choose(Wanted(size_gib=1, specs={"hw:x": "y"}), [pool("a")]).pool


@pytest.mark.parametrize(
    ("value", "asked", "good"),
    [
        ("x", "x", True),
        ("x", "y", False),
        (True, "<is> True", True),
        (False, "<is> true", False),
        (True, "True", True),
        ("abc", "<in> b", True),
        ("b", "<or> a <or> b", True),
        ("c", "<or> a <or> b", False),
        (5, ">= 5", True),
        (5, "<= 4", False),
        (5, "== 5", True),
        (5, "!= 5", False),
        (5, "= 4", True),
        ("x", ">= 5", False),
        ("x", "s== x", True),
        ("x", "s!= x", False),
        (None, "x", False),
    ],
)
def test_a_fact_meets_what_is_asked(value, asked, good):
    assert good == meets(value, asked)
