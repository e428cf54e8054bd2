"""Attachments that replace others."""

from micronova.db import migrate

revision = "0004"
down_revision = "0003"
PIECES = ("volume",)


def upgrade() -> None:
    for piece in migrate.pieces(revision, *PIECES):
        piece.upgrade()


def downgrade() -> None:
    for piece in reversed(migrate.pieces(revision, *PIECES)):
        piece.downgrade()
