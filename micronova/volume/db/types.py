"""Volume types, QoS specs, group types and defaults: rows and questions."""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

from micronova.db import KEY, UNIQUE, Row, Tx


class EncryptionType(msgspec.Struct, frozen=True, kw_only=True):
    """How volumes of a type are encrypted."""

    id: str
    provider: str
    control_location: str = "front-end"
    cipher: str | None = None
    key_size: int | None = None
    created_at: datetime
    updated_at: datetime | None = None


class VolumeType(Row, frozen=True, kw_only=True):
    """A kind of volume. `extra_specs` choose back ends; `access` lists projects that see it when it is not public."""

    TABLE: ClassVar[str] = "volume_types"

    id: Annotated[str, KEY]
    name: Annotated[str, UNIQUE]
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = {}
    access: tuple[str, ...] = ()
    qos_id: str | None = None
    encryption: EncryptionType | None = None
    created_at: datetime
    updated_at: datetime | None = None


class QosSpec(Row, frozen=True, kw_only=True):
    """Limits of use. `consumer`: front-end (the hypervisor), back-end (the driver), both."""

    TABLE: ClassVar[str] = "volume_qos_specs"

    id: Annotated[str, KEY]
    name: Annotated[str, UNIQUE]
    consumer: str = "back-end"
    specs: dict[str, str] = {}
    created_at: datetime
    updated_at: datetime | None = None


class DefaultType(Row, frozen=True, kw_only=True):
    """The volume type of a project's volumes that name none."""

    TABLE: ClassVar[str] = "volume_default_types"

    project_id: Annotated[str, KEY]
    type_id: str


class GroupType(Row, frozen=True, kw_only=True):
    """A kind of volume group."""

    TABLE: ClassVar[str] = "volume_group_types"

    id: Annotated[str, KEY]
    name: Annotated[str, UNIQUE]
    description: str | None = None
    is_public: bool = True
    group_specs: dict[str, str] = {}
    access: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime | None = None


def all_types(tx: Tx) -> list[VolumeType]:
    """Every volume type, newest first."""
    return tx.find(VolumeType, order=(("created_at", False), ("id", False)))


def type_names(tx: Tx) -> dict[str, str]:
    """Names of volume types by id."""
    return {row.id: row.name for row in tx.find(VolumeType)}
