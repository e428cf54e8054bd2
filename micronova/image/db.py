"""Rows of the image room and what is asked of them; no decisions but who may see what, which SQL has to know."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.db import INDEX, KEY, Not, Row, Tx, table
from micronova.db.rows import micros
from micronova.image import states

Order = tuple[tuple[str, bool], ...]
"""(column, ascending) pairs."""

BATCH = 500


class Image(Row, frozen=True, kw_only=True):
    """An image. `location` names its bytes in the store of `store_host`; "" when it has none.

    `content` is what the bytes were found to be (formats.py); `virtual_size` bytes a guest would see, where known.
    """

    TABLE: ClassVar[str] = "images"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("created_at", "id"),)

    id: Annotated[str, KEY]
    owner: Annotated[str | None, INDEX] = None
    name: str | None = None
    status: str = states.QUEUED
    visibility: Annotated[str, INDEX] = "shared"
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    content: str = ""
    store_host: str = ""
    location: str = ""
    created_at: datetime
    updated_at: datetime


class Member(Row, frozen=True, kw_only=True):
    """A project that an image is shared with. `status`: pending, accepted, rejected."""

    TABLE: ClassVar[str] = "image_members"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("image_id", "member_id"),)

    id: Annotated[str, KEY]
    image_id: str
    member_id: Annotated[str, INDEX]
    status: str = "pending"
    created_at: datetime
    updated_at: datetime


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which images a list is about, as far as the database decides it.

    `visibility` "" means whatever the caller sees but others' community images, "all" means those too.
    """

    project_id: str
    is_admin: bool
    visibility: str = ""
    member_status: str = "accepted"
    os_hidden: bool = False
    name: str | None = None
    owner: str = ""
    status: str = ""


class Listing(msgspec.Struct, frozen=True):
    """What a page is taken from. `order` ends with the id; `match` is asked of each row that SQL finds."""

    wanted: Wanted
    order: Order
    match: Callable[[Image], bool] | None = None


IMAGES = table(Image)
MEMBERS = table(Member)


def member_of(tx: Tx, image_id: str, project_id: str) -> Member | None:
    """The membership of a project in an image."""
    return tx.first(Member, image_id=image_id, member_id=project_id) if project_id else None


def members_of(tx: Tx, image_id: str) -> list[Member]:
    """All members of an image, the oldest first."""
    return tx.find(Member, image_id=image_id, order=(("created_at", True), ("id", True)))


def in_transit(tx: Tx) -> list[Image]:
    """Images whose bytes are on their way, or should be."""
    return tx.find(Image, status=(states.SAVING, states.UPLOADING), size=None)


def locations(tx: Tx) -> set[str]:
    """The names of all bytes that images refer to."""
    return {image.location for image in tx.find(Image, location=Not(""))}


class Listings:
    """Lists of images. Keeps one statement per way to sort: the database holds each compiled."""

    def __init__(self) -> None:
        self._statements: dict[tuple[Order, bool], sa.Select[Any]] = {}

    def page(self, tx: Tx, listing: Listing, after: Image | None, limit: int) -> list[Image]:
        """Up to `limit` images behind `after` that are wanted and match, sorted."""
        found: list[Image] = []
        match = listing.match
        size = limit if match is None else max(limit, BATCH)
        values = _values(listing.wanted)
        while len(found) < limit:
            statement = self._statement(listing.order, after is not None)
            rows = tx.rows(Image, statement, **values, **_marker(listing.order, after), most=size)
            found += rows if match is None else filter(match, rows)
            if len(rows) < size:
                break
            after = rows[-1]
        return found[:limit]

    def _statement(self, order: Order, after: bool) -> sa.Select[Any]:
        key = (order, after)
        if key not in self._statements:
            self._statements[key] = _listing(order, after)
        return self._statements[key]


def _values(wanted: Wanted) -> dict[str, Any]:
    return {
        "project": wanted.project_id,
        "admin": wanted.is_admin,
        "seen": wanted.visibility,
        "membership": wanted.member_status,
        "hidden": wanted.os_hidden,
        "named": wanted.name is not None,
        "by_name": wanted.name or "",
        "by_owner": wanted.owner,
        "by_status": wanted.status,
    }


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=sa.Text())


def _flag(name: str) -> sa.ColumnElement[bool]:
    return sa.bindparam(name, type_=sa.Boolean()) == sa.true()


def _condition() -> sa.ColumnElement[bool]:
    """One condition for all lists, so that few statements are compiled; parameters left empty switch parts off."""
    c, m = IMAGES.c, MEMBERS.c
    mine = c.owner == _text("project")
    membership = sa.or_(_text("membership") == "all", m.status == _text("membership"))
    shared = sa.exists().where(m.image_id == c.id, m.member_id == _text("project"), membership)
    open_to_all = sa.or_(c.visibility == "public", c.visibility == "community")
    seen = _text("seen")
    return sa.and_(
        sa.or_(
            _flag("admin"),
            mine,
            open_to_all,
            sa.and_(c.visibility == "shared", shared),
        ),
        sa.or_(seen == "all", c.visibility == seen, sa.and_(seen == "", sa.or_(c.visibility != "community", mine))),
        c.os_hidden == sa.bindparam("hidden", type_=sa.Boolean()),
        sa.or_(~_flag("named"), c.name == _text("by_name")),
        sa.or_(_text("by_owner") == "", c.owner == _text("by_owner")),
        sa.or_(_text("by_status") == "", c.status == _text("by_status")),
    )


def _listing(order: Order, after: bool) -> sa.Select[Any]:
    found = sa.select(IMAGES).where(_condition())
    if after:
        found = found.where(_beyond(order))
    found = found.order_by(*(_sortable(name).asc() if up else _sortable(name).desc() for name, up in order))
    return found.limit(sa.bindparam("most", type_=sa.Integer()))


def _sortable(name: str) -> sa.ColumnElement[Any]:
    """A column whose null sorts first."""
    column = IMAGES.c[name]
    if not column.nullable:
        return column
    return sa.func.coalesce(column, sa.literal_column("''" if isinstance(column.type, sa.Text) else "-1"))


def _beyond(order: Order) -> sa.ColumnElement[bool]:
    """Rows that sort behind the marker's."""
    ways = []
    for i, (name, up) in enumerate(order):
        equal = [_sortable(other) == _at(other) for other, _ in order[:i]]
        ways.append(sa.and_(*equal, _sortable(name) > _at(name) if up else _sortable(name) < _at(name)))
    return sa.or_(*ways)


def _at(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(f"after_{name}", type_=IMAGES.c[name].type)


def _marker(order: Order, after: Image | None) -> dict[str, Any]:
    if after is None:
        return {}
    values = {name: getattr(after, name) for name, _ in order}
    return {f"after_{name}": _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    if value is None:
        return "" if isinstance(IMAGES.c[name].type, sa.Text) else -1
    return value


ROWS: tuple[type[Row], ...] = (Image, Member)
