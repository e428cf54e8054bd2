"""Rows of what clients know as agents: the parts of each host's network service, and what a host was told to serve."""

from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.db import INDEX, KEY, Row, Tx, table
from micronova.network.db.layer2 import Port
from micronova.network.db.standard import Standard


class Agent(Standard, frozen=True, kw_only=True):
    """One part of a host's network service under the name clients have for it. Its host writes it, but for
    `admin_state_up` and `description`, which are the administrator's; whether it lives is in the service's row."""

    TABLE: ClassVar[str] = "network_agents"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("host", "agent_type"),)

    agent_type: str
    binary: str
    topic: str
    host: str
    availability_zone: str
    admin_state_up: bool = True
    configurations: dict[str, Any] = {}


class Hosting(Row, frozen=True, kw_only=True):
    """What an administrator said of one host and one network or router: that an agent there serves it, or doesn't.

    `id` is "AGENT TYPE/HOST/SUBJECT". Without such a row a host serves what it has ports of.
    """

    TABLE: ClassVar[str] = "network_hostings"

    id: Annotated[str, KEY]
    agent_type: str
    host: Annotated[str, INDEX]
    subject_id: Annotated[str, INDEX]
    served: bool


class Load(msgspec.Struct, frozen=True):
    """What a host has: ports that are real there, and the networks they are on."""

    ports: int = 0
    networks: int = 0


_P = table(Port)
_LOADS = (
    sa.select(_P.c.host, sa.func.count(), sa.func.count(sa.distinct(_P.c.network_id)))
    .where(_P.c.status == sa.literal_column("'ACTIVE'"), _P.c.host != sa.literal_column("''"))
    .group_by(_P.c.host)
)


def loads(tx: Tx) -> dict[str, Load]:
    """What each host has; hosts with nothing are missing."""
    return {row[0]: Load(row[1], row[2]) for row in tx.values(_LOADS)}
