"""What every resource of the API has."""

from datetime import datetime
from typing import Annotated, ClassVar

from micronova.db import KEY, Row


class Standard(Row, frozen=True, kw_only=True):
    """What every resource of the API has: owner, words about it, tags, when it came and changed."""

    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("project_id", "name", "id"),)

    id: Annotated[str, KEY]
    project_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
