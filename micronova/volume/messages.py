"""Messages: what users are told about what went wrong after it was accepted."""

from micronova.context import Context
from micronova.db import Database, Less, Tx
from micronova.errors import NotFound
from micronova.volume import listing
from micronova.volume.db import Message
from micronova.volume.listing import Page, Query

BATCH = 200


class Messages:
    """What was left for the users of a project."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def find(self, ctx: Context, query: Query) -> Page:
        """The messages a query asks for."""
        return await self._db.read(lambda tx: listing.page(tx, ctx, Message, query, "Message"))

    async def get(self, ctx: Context, id: str) -> Message:
        """One message. Raises NotFound."""
        return await self._db.read(lambda tx: _mine(tx, ctx, id))

    async def delete(self, ctx: Context, id: str) -> None:
        """Forget it. Raises NotFound."""
        await self._db.write(lambda tx: tx.delete(_mine(tx, ctx, id)), ctx, why="deleted by request")

    async def trim(self, ctx: Context) -> None:
        """Forget those whose time is up."""

        def erase(tx: Tx) -> None:
            for row in tx.find(Message, expires_at=Less(tx.now), limit=BATCH):
                tx.delete(row)

        await self._db.write(erase, ctx, why="older than they are kept")


def _mine(tx: Tx, ctx: Context, id: str) -> Message:
    found = tx.first(Message, id=id)
    if found is None or not (ctx.is_admin or found.project_id == ctx.project_id):
        raise NotFound(f"Message {id} could not be found.", id=id)
    return found
