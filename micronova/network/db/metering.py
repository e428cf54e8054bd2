"""Rows of what shall be counted of a project's traffic."""

from typing import Annotated, ClassVar

from micronova.db import INDEX
from micronova.network.db.standard import Standard


class MeteringLabel(Standard, frozen=True, kw_only=True):
    """A name under which traffic of a project's routers is counted; `shared`: of all projects' routers."""

    TABLE: ClassVar[str] = "metering_labels"

    shared: bool = False


class MeteringRule(Standard, frozen=True, kw_only=True):
    """Traffic that belongs to a label, or, `excluded`, doesn't. `remote_prefix` is the side beyond the router."""

    TABLE: ClassVar[str] = "metering_label_rules"

    label_id: Annotated[str, INDEX]
    direction: str
    excluded: bool = False
    remote_prefix: str | None = None
    source_prefix: str | None = None
    destination_prefix: str | None = None
