"""Which segment a network gets: ranges as the configuration names them, the next one free, the one asked for.

That none is given twice is up to the constraint of GivenSegment; the looks taken before only make it unlikely to meet.
The next id is the one after the highest given, so that one just released rests for a while; then gaps are filled.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from micronova.db import Tx
from micronova.errors import ConfigError
from micronova.network import db
from micronova.network.db import GivenSegment

WINDOW = 256


class Range(msgspec.Struct, frozen=True):
    """Ids that may be given, of a physical network or of none ("")."""

    physical_network: str
    first: int
    last: int


def pairs_of(option: str, values: Iterable[str]) -> dict[str, str]:
    """What PHYSICAL_NETWORK:SOMETHING names. Raises ConfigError for another form, and for a name that comes twice."""
    found: dict[str, str] = {}
    for value in values:
        name, colon, rest = value.partition(":")
        if not (name and colon and rest):
            raise ConfigError(f"configuration: {option}: {value!r} is not of the form PHYSICAL_NETWORK:NAME")
        if name in found:
            raise ConfigError(f"configuration: {option}: {name!r} comes twice")
        found[name] = rest
    return found


def vlan_ranges(option: str, values: Iterable[str], highest: int) -> tuple[Range, ...]:
    """Ranges named PHYSICAL_NETWORK:FIRST:LAST. Raises ConfigError for another form, and where they overlap."""
    found = []
    for value in values:
        name, _, rest = value.partition(":")
        if not name:
            raise ConfigError(f"configuration: {option}: {value!r} names no physical network")
        found.append(_range(option, value, name, rest, highest))
    return _apart(option, found)


def vni_ranges(option: str, values: Iterable[str], highest: int) -> tuple[Range, ...]:
    """Ranges named FIRST:LAST. Raises ConfigError for another form, and where they overlap."""
    return _apart(option, [_range(option, value, "", value, highest) for value in values])


def _range(option: str, value: str, name: str, text: str, highest: int) -> Range:
    first, _, last = text.partition(":")
    if not (first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
        form = "PHYSICAL_NETWORK:FIRST:LAST" if name else "FIRST:LAST"
        raise ConfigError(f"configuration: {option}: {value!r} is not of the form {form}")
    if not 1 <= int(first) <= int(last) <= highest:
        raise ConfigError(f"configuration: {option}: {value!r} is not a range within 1 to {highest}")
    return Range(name, int(first), int(last))


def _apart(option: str, ranges: Sequence[Range]) -> tuple[Range, ...]:
    for at, one in enumerate(ranges):
        for other in ranges[:at]:
            if one.physical_network == other.physical_network and one.first <= other.last and other.first <= one.last:
                raise ConfigError(
                    f"configuration: {option}: {other.first} to {other.last} and {one.first} to {one.last} overlap"
                )
    return tuple(ranges)


def is_taken(tx: Tx, wanted: GivenSegment) -> bool:
    """Whether a network has this segment."""
    id = wanted.segmentation_id
    return bool(db.segments_taken(tx, wanted, id, id, most=1))


def next_free(tx: Tx, like: GivenSegment, ranges: Iterable[Range], passed: int) -> GivenSegment | None:
    """The segment of these ranges to give next, recorded as given; None when all are given.

    `passed` free ones are left out, if there are more: several writers at once would all want the first.

    Raises Duplicate when another transaction gave it meanwhile: look again.
    """
    for one in ranges:
        wanted = msgspec.structs.replace(like, physical_network=one.physical_network)
        id = _free(tx, wanted, one, passed)
        if id is not None:
            return tx.insert(msgspec.structs.replace(wanted, segmentation_id=id))
    return None


def _free(tx: Tx, like: GivenSegment, within: Range, passed: int) -> int | None:
    highest = db.highest_segment(tx, like, within.first, within.last)
    after = within.first if highest is None else highest + 1
    for id in dict.fromkeys((after + passed, after)):
        if id <= within.last:
            return id
    return _gap(tx, like, within, passed)


def _gap(tx: Tx, like: GivenSegment, within: Range, passed: int) -> int | None:
    """A free id below the highest: the one after `passed` others, or else the last there is."""
    first = list(islice(_free_ids(tx, like, within), passed + 1))
    return first[-1] if first else None


def _free_ids(tx: Tx, like: GivenSegment, within: Range) -> Iterator[int]:
    """All free ids of the range in order."""
    first = within.first
    while first <= within.last:
        taken = db.segments_taken(tx, like, first, within.last, most=WINDOW)
        for id in taken:
            yield from range(first, id)
            first = id + 1
        if len(taken) < WINDOW:
            yield from range(first, within.last + 1)
            return
