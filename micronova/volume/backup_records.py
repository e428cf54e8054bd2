"""Records of backups that outlive this cloud: a text that an administrator keeps, and brings to another."""

import base64

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, WrongState
from micronova.volume import states
from micronova.volume.backups import Backups
from micronova.volume.db import Backup


class BackupRecords(Backups):
    """The part of the manager that tells and learns of backups."""

    async def export_record(self, ctx: Context, id: str) -> tuple[str, str]:
        """The backup's record as a text to be kept elsewhere: (service, text). Raises NotFound, WrongState."""

        def look(tx: Tx) -> Backup:
            row = self.owned_backup(tx, ctx, id, "backup:export-import")
            states.check("restore backup", "backup", id, row.status)
            return row

        row = await self.db.read(look)
        return row.service, base64.b64encode(msgspec.json.encode(row)).decode()

    async def import_record(self, ctx: Context, service: str, text: str) -> Backup:
        """The backup of a record is known again. Raises BadRequest when it is none, WrongState when it is known."""
        try:
            told_row = msgspec.json.decode(base64.b64decode(text, validate=True), type=Backup)
        except (ValueError, msgspec.DecodeError) as err:
            raise BadRequest("Invalid input received: Can't parse backup record.") from err
        if service != self.store.name:
            raise BadRequest(f"Invalid input received: No backup service {service}.")

        def record(tx: Tx) -> Backup:
            self.require(ctx, "backup:backup-import", ctx.project_id)
            if tx.first(Backup, id=told_row.id) is not None:
                raise WrongState(f"Invalid backup: Backup {told_row.id} already exists.")
            fresh = msgspec.structs.replace(
                told_row, revision=1, project_id=ctx.project_id, user_id=ctx.user_id, created_at=tx.now
            )
            return tx.insert(fresh)

        return await self.db.write(record, ctx, why="imported by an administrator")
