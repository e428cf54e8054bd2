"""Networks between hosts and volumes."""

from micronova.db import migrate

revision = "0003"
down_revision = "0002"
PIECES = (
    "compute",
    "network_agents",
    "network_forwardings",
    "network_layer2",
    "network_layer3",
    "network_metering",
    "network_qos",
    "network_security",
    "network_segments",
    "network_shares",
    "network_trunks",
    "volume",
)


def upgrade() -> None:
    for piece in migrate.pieces(revision, *PIECES):
        piece.upgrade()


def downgrade() -> None:
    for piece in reversed(migrate.pieces(revision, *PIECES)):
        piece.downgrade()
