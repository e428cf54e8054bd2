"""What volume types and group types share on the wire: names of their own, and specs by their keys."""

import pytest

NOUNS = {"volume_type": ("/types", "extra_specs", 200), "group_type": ("/group_types", "group_specs", 202)}


@pytest.fixture(params=sorted(NOUNS))
def kind(request):
    """(noun in bodies, path, name of the specs, status of what sets them)."""
    return (request.param, *NOUNS[request.param])


async def made(world, noun, path, name):
    answer = await world.reply(f"POST {path}", {noun: {"name": name}}, who="admin")
    return f"{path}/{answer.json[noun]['id']}"


async def test_specs_come_change_and_go(world, kind):
    noun, path, specs, status = kind
    one = await made(world, noun, path, "one")

    added = await world.ask(f"POST {one}/{specs}", {specs: {"a": "b", "n": 1}}, who="admin", status=status)
    changed = await world.ask(f"PUT {one}/{specs}/a", {"a": "c"}, who="admin")
    shown = await world.ask(f"GET {one}/{specs}/a", who="admin")
    gone = [(await world.reply(f"DELETE {one}/{specs}/a", who="admin")).status for _ in range(2)]

    assert {specs: {"a": "b", "n": "1"}} == added
    assert {"a": "c"} == changed == shown
    assert [202, 404] == gone
    assert {specs: {"n": "1"}} == await world.ask(f"GET {one}/{specs}", who="admin")
    assert 404 == (await world.reply(f"GET {one}/{specs}/a", who="admin")).status


async def test_specs_that_are_none_are_refused(world, kind):
    noun, path, specs, _ = kind
    one = await made(world, noun, path, "one")

    for body in ({specs: {"": "x"}}, {specs: {"a": ["b"]}}, {"other": {"a": "b"}}, {specs: {}, "other": {}}):
        assert 400 == (await world.reply(f"POST {one}/{specs}", body, who="admin")).status, body
    assert 400 == (await world.reply(f"PUT {one}/{specs}/a", {"a": "b", "c": "d"}, who="admin")).status
    assert 404 == (await world.reply(f"PUT {path}/none/{specs}/a", {"a": "b"}, who="admin")).status


async def test_a_name_is_taken_once_and_never_blank(world, kind):
    noun, path, _, _ = kind
    await made(world, noun, path, "one")
    two = await made(world, noun, path, "two")

    taken = await world.reply(f"PUT {two}", {noun: {"name": "one"}}, who="admin")
    blank = await world.reply(f"PUT {two}", {noun: {"name": " "}}, who="admin")
    nothing = await world.reply(f"PUT {two}", {noun: {}}, who="admin")
    renamed = await world.ask(f"PUT {two}", {noun: {"name": " three ", "is_public": False}}, who="admin")

    assert (409, 400, 400) == (taken.status, blank.status, nothing.status)
    assert ("three", False) == (renamed[noun]["name"], renamed[noun]["is_public"])
    assert 404 == (await world.reply(f"GET {two}")).status
