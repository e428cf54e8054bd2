"""What tests of deaths saw, kept in a file, from which the page about it is made: doc/volume-faults.md."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

ANEW = "MICRONOVA_RECORD"


class Seen(msgspec.Struct, frozen=True):
    """One death: after which `moment`, and what there was after one restart and one tick."""

    moment: str
    outcome: str
    left: int = 0
    """How many exports, files and rows belonged to nobody."""


Record = dict[str, list[Seen]]


def agree(file: Path, operation: str, seen: Sequence[Seen], *, known: bool = False) -> None:
    """The file says of the operation what was seen, or is made to where that is asked for.

    Several things that go on at once may end in any order. `known`: only of what the file knows at all.
    """
    record = read(file)
    told = list(dict.fromkeys(seen))
    if known and operation not in record and not os.environ.get(ANEW):
        return
    if os.environ.get(ANEW):
        record[operation] = told
        file.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(record.items()))), indent=1) + b"\n")
    told_before = set(record.get(operation, ()))
    assert told_before == set(told), f"{file.name} says otherwise: run this test with {ANEW}=1, then script/docs"


def read(file: Path) -> Record:
    """What the file says, by operation."""
    return msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else {}
