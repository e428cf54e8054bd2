"""What all parts of the identity manager stand on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec

from micronova.context import Context
from micronova.db import Database, Row, Tx
from micronova.errors import BadRequest, Conflict, Forbidden
from micronova.identity import db
from micronova.identity.keys import Keys
from micronova.identity.passwords import Passwords
from micronova.manager import Manager, Runtime
from micronova.policy import Policy

R = TypeVar("R", bound=Row)


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for: at most `limit` rows behind the row with id `marker`."""

    limit: int | None = None
    marker: str | None = None


WHOLE = Page()


class IdentityBase(Manager):
    """Collaborators and small decisions that every noun of identity shares."""

    topic: ClassVar[str] = "identity"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        policy: Policy,
        passwords: Passwords | None = None,
    ) -> None:
        super().__init__(runtime, host, db_driver)
        self.policy = policy
        self.passwords = passwords or Passwords(self.clock)
        self.keys = Keys(self.clock)

    async def close_host(self) -> None:
        self.passwords.close()

    def new_id(self) -> str:
        """A Keystone id: a UUID without dashes."""
        return self.clock.new_id().replace("-", "")

    def now(self) -> datetime:
        return self.clock.now()

    async def show(self, cls: type[R], id: str) -> R:
        """One row of identity. Raises NotFound in Keystone's words."""
        return await self.db.read(lambda tx: db.get(tx, cls, id))

    async def rows(self, cls: type[R], where: Mapping[str, Any], page: Page = WHOLE, *, order: str = "name") -> list[R]:
        """Rows that match, sorted by `order` and id. Raises NotFound when the marker is gone."""
        sort = ((order, True), ("id", True)) if order != "id" else (("id", True),)

        def look(tx: Tx) -> list[R]:
            after = db.get(tx, cls, page.marker) if page.marker else None
            return tx.find(cls, order=sort, after=after, limit=page.limit, **where)

        return await self.db.read(look)


def free(tx: Tx, cls: type[Row], name: str, domain_id: str, id: str = "") -> None:
    """Return when no other row of the domain has the name. Raises Conflict in Keystone's words."""
    other = tx.first(cls, domain_id=domain_id, name=name)
    if other is None or getattr(other, "id", "") == id:
        return
    noun = "domain" if isinstance(other, db.Project) and other.is_domain else db.NOUNS[cls]
    where = "" if domain_id == "" else f" at domain ID {domain_id}"
    raise Conflict(
        f"Conflict occurred attempting to store {noun} - Duplicate entry found with name {name}{where}.", name=name
    )


def same_domain(asked: Any, domain_id: str) -> None:
    """Raises BadRequest when an update would move a row to another domain."""
    if asked is not msgspec.UNSET and (asked or "") != domain_id:
        raise BadRequest("Cannot change Domain ID")


def mutable(options: Mapping[str, Any], verb: str, id: str, changes: Mapping[str, Any] | None = None) -> None:
    """Return when the row may be changed. Raises Forbidden for one marked immutable, unless only the mark goes."""
    if not options.get("immutable"):
        return
    if changes is not None and set(changes) == {"options"} and not changes["options"].get("immutable"):
        return
    raise Forbidden(f"Cannot {verb} immutable resource {id}. Set resource option 'immutable' to False first.")


def merged(options: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """Options after a change: those set to null are gone."""
    new = asked if isinstance(asked, dict) else msgspec.to_builtins(asked)
    return {name: value for name, value in {**options, **new}.items() if value is not None}


def home(ctx: Context) -> str:
    """The domain that a request means when it names none (Identity API, "Create user")."""
    return ctx.domain_id or ctx.project_domain_id or ctx.user_domain_id or "default"
