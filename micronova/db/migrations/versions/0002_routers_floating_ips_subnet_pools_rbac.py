"""Routers floating IPs subnet pools RBAC."""

from micronova.db import migrate

revision = "0002"
down_revision = "0001"
PIECES = ("network",)


def upgrade() -> None:
    for piece in migrate.pieces(revision, *PIECES):
        piece.upgrade()


def downgrade() -> None:
    for piece in reversed(migrate.pieces(revision, *PIECES)):
        piece.downgrade()
