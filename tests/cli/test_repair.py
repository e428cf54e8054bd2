"""What `micronova repair` says to a person."""

from micronova.cli.repair import told

CURED = {
    "kind": "volume",
    "id": "v1",
    "what": "is extending, and no task sees to that",
    "cure": "have it grow to 3 GiB",
    "advice": "",
    "action": "grow",
}
HOPELESS = {"kind": "volume", "id": "v2", "what": "is in error", "cure": "", "advice": "delete it", "action": ""}


def report(*findings, done=False, error=""):
    ailments = [{"finding": one, "done": done and bool(one["action"]), "error": error} for one in findings]
    return {"id": "v1", "summary": "volume one (v1) is extending on h1@file#file", "ailments": ailments}


def test_what_is_well_takes_one_line():
    assert [
        "volume one (v1) is extending on h1@file#file: rows, tasks and hosts agree, there is nothing to repair"
    ] == told(report(), do=False)


def test_each_finding_says_what_would_be_done_and_how_to_have_it_done():
    assert [
        "volume one (v1) is extending on h1@file#file",
        "  1. volume v1 is extending, and no task sees to that",
        "     repair would have it grow to 3 GiB",
        "  2. volume v2 is in error",
        "     nothing is done about it; delete it",
        "`micronova repair v1 --do` does it",
    ] == told(report(CURED, HOPELESS), do=False)


def test_nobody_is_told_to_do_what_does_nothing():
    assert "     nothing is done about it; delete it" == told(report(HOPELESS), do=False)[-1]


def test_what_was_done_and_what_could_not_be():
    assert "     done: have it grow to 3 GiB" == told(report(CURED, done=True), do=True)[-1]
    assert (
        "     could not have it grow to 3 GiB: host h1 is down"
        == told(report(CURED, error="host h1 is down"), do=True)[-1]
    )
