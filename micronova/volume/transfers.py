"""Transfers: a volume is offered to another project, which takes it with a key. The key is told once and not kept."""

import hashlib
import hmac

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, WrongState
from micronova.volume import db, listing, quota, states
from micronova.volume.base import VolumeBase
from micronova.volume.db import Transfer, Volume
from micronova.volume.listing import Page, Query

KEY_BYTES = 8


class NewTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer to be. `encrypted`: the client knows that a key changes hands too."""

    volume_id: str
    name: str | None = None
    no_snapshots: bool = False
    encrypted: bool = False


class Transfers(VolumeBase):
    """The part of the manager that hands volumes over."""

    async def offer(self, ctx: Context, asked: NewTransfer) -> tuple[Transfer, str]:
        """The volume waits for whoever has the key, which is returned with the offer. Raises NotFound, WrongState."""
        key = self.clock.secret(KEY_BYTES).hex()
        salt = self.clock.secret(KEY_BYTES).hex()

        def write(tx: Tx) -> Transfer:
            volume = self.owned(tx, ctx, asked.volume_id, "volume:create_transfer")
            states.check("transfer", "volume", volume.id, volume.status)
            if volume.group_id is not None:
                raise WrongState("Invalid volume: A volume that belongs to a group can't be handed over.", id=volume.id)
            if volume.encryption_key_id is not None and not asked.encrypted:
                raise BadRequest("Invalid volume: transferring encrypted volume is not supported.")
            if asked.no_snapshots and db.snapshots_of(tx, volume.id):
                raise WrongState("Invalid volume: A volume with snapshots is handed over with them.")
            self.touch(tx, volume, status=states.AWAITING_TRANSFER)
            return tx.insert(
                Transfer(
                    id=self.clock.new_id(),
                    volume_id=volume.id,
                    project_id=volume.project_id,
                    name=asked.name,
                    salt=salt,
                    key_hash=_hash(salt, key),
                    no_snapshots=asked.no_snapshots,
                    created_at=tx.now,
                )
            )

        return await self.db.write(write, ctx, why="offered by request"), key

    async def get_transfer(self, ctx: Context, id: str) -> Transfer:
        """An offer of the caller's project, or that was made to it. Raises NotFound."""
        return await self.db.read(lambda tx: self._transfer(tx, ctx, id))

    async def find_transfers(self, ctx: Context, query: Query) -> Page:
        """The open offers of the caller's project."""
        where = {**query.where, "accepted": False}
        open_ones = msgspec.structs.replace(query, where=where)
        return await self.db.read(lambda tx: listing.page(tx, ctx, Transfer, open_ones, "Transfer"))

    async def withdraw(self, ctx: Context, id: str) -> None:
        """The volume is no longer offered. Raises NotFound."""

        def write(tx: Tx) -> None:
            transfer = self._transfer(tx, ctx, id)
            self.require(ctx, "volume:delete_transfer", transfer.project_id)
            volume = tx.first(Volume, id=transfer.volume_id)
            if volume is not None and volume.status == states.AWAITING_TRANSFER:
                self.touch(tx, volume, status=states.AVAILABLE)
            tx.delete(transfer)

        await self.db.write(write, ctx, why="withdrawn by request")

    async def accept(self, ctx: Context, id: str, key: str) -> Transfer:
        """The volume is the caller's project's, with its snapshots. Raises NotFound, BadRequest, QuotaExceeded."""

        def write(tx: Tx) -> Transfer:
            transfer = tx.first(Transfer, id=id)
            if transfer is None or transfer.accepted:
                raise NotFound(f"Transfer {id} could not be found.", id=id)
            self.require(ctx, "volume:accept_transfer", ctx.project_id)
            if not hmac.compare_digest(_hash(transfer.salt, key), transfer.key_hash):
                raise BadRequest(f"Invalid auth key: Attempt to transfer {id} with invalid auth key.")
            volume = db.get_volume(tx, transfer.volume_id)
            if volume.status != states.AWAITING_TRANSFER:
                raise WrongState(f"Invalid volume: Volume {volume.id} is {volume.status}, not awaiting-transfer.")
            self._hand_over(tx, ctx, volume)
            taken = tx.change(transfer, accepted=True, destination_project_id=ctx.project_id)
            tx.delete(taken)
            return taken

        return await self.db.write(write, ctx, why="accepted by request")

    def _hand_over(self, tx: Tx, ctx: Context, volume: Volume) -> None:
        snapshots = db.snapshots_of(tx, volume.id)
        gib = volume.size_gib + sum(snapshot.size_gib for snapshot in snapshots)
        more = {"volumes": 1, "snapshots": len(snapshots), "gigabytes": gib}
        quota.admit(tx, self.quota, ctx.project_id, more, volume.type_id)
        self.touch(tx, volume, project_id=ctx.project_id, user_id=ctx.user_id, status=states.AVAILABLE)
        for snapshot in snapshots:
            self.touch(tx, snapshot, project_id=ctx.project_id, user_id=ctx.user_id)

    def _transfer(self, tx: Tx, ctx: Context, id: str) -> Transfer:
        found = tx.first(Transfer, id=id)
        if found is None or not (ctx.is_admin or found.project_id == ctx.project_id):
            raise NotFound(f"Transfer {id} could not be found.", id=id)
        return found


def _hash(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()
