"""Which services there are, where, and when each was last alive. Every service writes its own row; all may read."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar

import msgspec

from micronova.clock import Clock
from micronova.db import KEY, Row, Tx
from micronova.errors import NotFound


class ServiceRow(Row, frozen=True, kw_only=True):
    """One manager of one host as the cloud knows it. `binary` is the name clients expect (nova-compute)."""

    TABLE: ClassVar[str] = "services"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("topic", "host"),)
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    topic: str
    host: str
    binary: str
    zone: str
    version: str
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    created_at: datetime
    seen_at: datetime
    stopped: bool = False


class Announcement(msgspec.Struct, frozen=True):
    """What a service says of itself."""

    topic: str
    host: str
    binary: str
    zone: str
    version: str


def report(tx: Tx, clock: Clock, said: Announcement, *, stopped: bool = False) -> ServiceRow:
    """Note that a service is alive (or has just stopped in order)."""
    row = tx.first(ServiceRow, topic=said.topic, host=said.host)
    if row is None:
        return tx.insert(
            ServiceRow(
                id=clock.new_id(),
                topic=said.topic,
                host=said.host,
                binary=said.binary,
                zone=said.zone,
                version=said.version,
                created_at=tx.now,
                seen_at=tx.now,
                stopped=stopped,
            )
        )
    return tx.change(row, seen_at=tx.now, zone=said.zone, version=said.version, binary=said.binary, stopped=stopped)


def is_up(row: ServiceRow, now: datetime, down_seconds: float) -> bool:
    """Whether the service was alive lately and nobody forced it down."""
    return not row.stopped and not row.forced_down and now - row.seen_at <= timedelta(seconds=down_seconds)


def services(tx: Tx, *, topic: str | None = None, host: str | None = None) -> list[ServiceRow]:
    """The services known, by topic and host."""
    where = {name: value for name, value in (("topic", topic), ("host", host)) if value is not None}
    return tx.find(ServiceRow, order=(("topic", True), ("host", True)), **where)  # type: ignore[arg-type]


def set_disabled(tx: Tx, id: str, disabled: bool, reason: str | None) -> ServiceRow:
    """Take a host out of scheduling, or put it back. Raises NotFound."""
    row = tx.get(ServiceRow, id)
    return tx.change(row, disabled=disabled, disabled_reason=reason if disabled else None)


def set_forced_down(tx: Tx, id: str, forced_down: bool) -> ServiceRow:
    """Say that a service is down whatever it reports. Raises NotFound."""
    return tx.change(tx.get(ServiceRow, id), forced_down=forced_down)


def forget(tx: Tx, id: str) -> None:
    """Remove a service that will not come back. Raises NotFound."""
    row = tx.first(ServiceRow, id=id)
    if row is None:
        raise NotFound(f"Service {id} could not be found.")
    tx.delete(row)
