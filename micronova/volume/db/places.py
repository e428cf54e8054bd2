"""Where volumes can lie, why one lies where it does, and what users are told of failures."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from micronova.db import INDEX, KEY, Row, Tx
from micronova.volume.driver import Capabilities


class Pool(Row, frozen=True, kw_only=True):
    """A back end of a host as it last told of itself. `id` is its name in the API: HOST@BACKEND#POOL."""

    TABLE: ClassVar[str] = "volume_pools"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    host: Annotated[str, INDEX]
    backend: str
    backend_name: str
    zone: str
    capabilities: Capabilities
    total_gib: float
    free_gib: float
    over_commit: float = 1.0
    reserved_percent: int = 0
    working: bool = True
    reason: str = ""
    """Why it does not work."""
    frozen: bool = False
    """Nothing may be changed on it, by an administrator's wish."""
    reported_at: datetime


class Placement(Row, frozen=True, kw_only=True):
    """Why a volume lies where it does, or nowhere: what was removed by which filter, and who won."""

    TABLE: ClassVar[str] = "volume_placements"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    volume_id: Annotated[str, INDEX]
    pool_id: str
    message: str
    facts: dict[str, Any] = {}
    created_at: datetime


class Message(Row, frozen=True, kw_only=True):
    """What a user is told about something that went wrong after it was accepted."""

    TABLE: ClassVar[str] = "volume_messages"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    request_id: str
    event_id: str
    resource_type: str
    resource_id: str
    level: str = "ERROR"
    text: str
    created_at: datetime
    expires_at: Annotated[datetime, INDEX]


class VolumeQuota(Row, frozen=True, kw_only=True):
    """A project's own limit of `resource`; project "" is the default of all."""

    TABLE: ClassVar[str] = "volume_quotas"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("project_id", "resource"),)

    id: Annotated[str, KEY]
    project_id: str
    resource: str
    limit: int


class Transfer(Row, frozen=True, kw_only=True):
    """An offer of a volume to whoever has the key. The key itself is not kept."""

    TABLE: ClassVar[str] = "volume_transfers"

    id: Annotated[str, KEY]
    volume_id: Annotated[str, INDEX]
    project_id: Annotated[str, INDEX]
    name: str | None = None
    salt: str
    key_hash: str
    no_snapshots: bool = False
    destination_project_id: str | None = None
    accepted: bool = False
    created_at: datetime


def pools(tx: Tx) -> list[Pool]:
    """Every pool, by name."""
    return tx.find(Pool, order=(("id", True),))
