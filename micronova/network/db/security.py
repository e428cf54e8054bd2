"""Rows of security groups, their rules and members."""

from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, UNIQUE, Row
from micronova.network.db.standard import Standard


class SecurityGroup(Standard, frozen=True, kw_only=True):
    """Rules under a name. `default_of` is the project whose default group this is; it can have only one."""

    TABLE: ClassVar[str] = "security_groups"

    stateful: bool = True
    shared: bool = False
    default_of: Annotated[str | None, UNIQUE] = None


class Rule(Standard, frozen=True, kw_only=True):
    """One thing a group lets pass. `fingerprint` says all that makes two rules the same."""

    TABLE: ClassVar[str] = "security_group_rules"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("group_id", "fingerprint"),)

    group_id: str
    direction: str
    ethertype: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group_id: Annotated[str | None, INDEX] = None
    remote_address_group_id: Annotated[str | None, INDEX] = None
    fingerprint: str


class AddressGroup(Standard, frozen=True, kw_only=True):
    """Ranges under a name, for rules."""

    TABLE: ClassVar[str] = "address_groups"

    addresses: tuple[str, ...] = ()
    shared: bool = False


class Membership(Row, frozen=True, kw_only=True):
    """A port, bound on `host`, is in a group."""

    TABLE: ClassVar[str] = "security_group_members"
    JOURNAL: ClassVar[bool] = False

    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("group_id", "host"),)

    id: Annotated[str, KEY]
    group_id: str
    port_id: Annotated[str, INDEX]
    host: str = ""
