"""First tables."""

from micronova.db import migrate

revision = "0001"
down_revision = None
PIECES = ("compute", "core", "identity", "image", "network", "scheduler")


def upgrade() -> None:
    for piece in migrate.pieces(revision, *PIECES):
        piece.upgrade()


def downgrade() -> None:
    for piece in reversed(migrate.pieces(revision, *PIECES)):
        piece.downgrade()
