"""Rows with a column of every kind, for tests of the database."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec

from micronova.db import INDEX, KEY, SECRET, SERIAL, UNIQUE, Row


class Point(msgspec.Struct, frozen=True):
    x: int
    label: str = ""


class Thing(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "things"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "name"),)

    seq: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    owner: Annotated[str, INDEX] = "o"
    name: str | None = None
    address: Annotated[str | None, UNIQUE] = None
    secret: Annotated[str, SECRET] = ""
    size: int = 0
    most: int | None = None
    ratio: float = 0.0
    share: float | None = None
    on: bool = False
    maybe: bool | None = None
    at: datetime | None = None
    labels: dict[str, str] = {}
    any: dict[str, Any] = {}
    point: Point | None = None
    points: tuple[Point, ...] = ()


class Quiet(Row, frozen=True, kw_only=True):
    """Not journalled, and its key is its only identity."""

    TABLE: ClassVar[str] = "quiet"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    number: int = 0
