"""Paths find what answers them, in applications that share routing tables and in those that don't."""

from micronova.routing import Router, Tables

TABLES = Tables()


class Place:
    def __init__(self, name: str) -> None:
        self.name = name

    async def on_get(self, req: object, resp: object, **path: str) -> None: ...


def router() -> Router:
    made = Router(TABLES)
    for prefix in ("/image", "/image/v2", ""):
        made.mount(prefix, {"": Place(prefix), "/{id}": Place(f"{prefix} one"), "/{id}/file": Place("file")})
    return made


def found(made: Router, path: str) -> tuple[str, dict[str, str]] | None:
    answer = made.find(path)
    return (answer[0].name, answer[2]) if answer is not None else None


def test_the_longest_prefix_decides_and_fields_are_told() -> None:
    made = router()

    assert ("/image", {}) == found(made, "/image")
    assert ("/image/v2", {}) == found(made, "/image/v2")
    assert ("/image/v2 one", {"id": "x"}) == found(made, "/image/v2/x")
    assert ("file", {"id": "x"}) == found(made, "/image/v2/x/file")
    assert ("", {}) == found(made, "/")
    assert (" one", {"id": "imagery"}) == found(made, "/imagery")


def test_what_is_not_there_is_not_found() -> None:
    assert found(router(), "/image/v2/x/file/more") is None


def test_equal_paths_of_two_applications_lead_to_each_ones_own() -> None:
    first, second = router(), router()

    assert first.find("/image")[0] is not second.find("/image")[0]
    assert first.find("/image")[1]["GET"] != second.find("/image")[1]["GET"]
    assert "POST" in first.find("/image")[1]  # answered with 405
