"""What a network says of everybody, `shared` and `router:external`, seen as policies of their own.

`RbacPolicy` rows name everybody by "*"; `follow` keeps them as the network says.
"""

from micronova.clock import Clock
from micronova.db import Tx
from micronova.network.db import Network, RbacPolicy

EVERYBODY = "*"
SHARED, EXTERNAL = "access_as_shared", "access_as_external"


def follow(tx: Tx, clock: Clock, network: Network) -> None:
    """There is a policy for everybody for what the network says of everybody, and none for what it doesn't."""
    for action, is_open in open_to_all(network):
        row = tx.first(RbacPolicy, object_id=network.id, action=action, target_tenant=EVERYBODY)
        if is_open and row is None:
            tx.insert(
                RbacPolicy(
                    id=clock.new_id(),
                    project_id=network.project_id,
                    object_type="network",
                    object_id=network.id,
                    action=action,
                    target_tenant=EVERYBODY,
                    created_at=tx.now,
                    updated_at=tx.now,
                )
            )
        elif row is not None and not is_open:
            tx.delete(row)


def forget(tx: Tx, network: Network) -> None:
    """No policy of the network is left."""
    for row in tx.find(RbacPolicy, object_id=network.id):
        tx.delete(row)


def open_to_all(network: Network) -> tuple[tuple[str, bool], ...]:
    """Each way of using a network, and whether everybody may use it so."""
    return (SHARED, network.shared), (EXTERNAL, network.external)
