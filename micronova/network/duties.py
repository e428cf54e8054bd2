"""What a host shall not serve though it has ports for it, because an administrator took it away.

Every host serves DHCP, routers and metadata for its own ports. An agent that is switched off serves nothing of its
kind, and one that a network or router was taken from serves the rest.
"""

import msgspec

from micronova.db import Tx
from micronova.network.db import Agent, Hosting
from micronova.network.driver import RouterSpec
from micronova.network.l3_specs import Layer3
from micronova.network.specs import View

DHCP_AGENT = "DHCP agent"
L3_AGENT = "L3 agent"


def limited(tx: Tx, view: View, host: str) -> View:
    """The view of what this host does, without what it shall not."""
    off = {agent.agent_type for agent in tx.find(Agent, host=host, admin_state_up=False)}
    taken = tx.find(Hosting, host=host, served=False)
    if not off and not taken:
        return view
    networks = frozenset(row.subject_id for row in taken if row.agent_type == DHCP_AGENT)
    routers = frozenset(row.subject_id for row in taken if row.agent_type == L3_AGENT)
    return msgspec.structs.replace(
        view,
        unserved=frozenset(view.networks) if DHCP_AGENT in off else networks,
        layer3=_still(view.layer3, None if L3_AGENT in off else routers),
    )


def _still(layer3: Layer3, routers: frozenset[str] | None) -> Layer3:
    """Layer 3 in which these routers, or all, forward nothing."""

    def one(router: RouterSpec) -> RouterSpec:
        stops = routers is None or router.id in routers
        return msgspec.structs.replace(router, up=False) if stops else router

    return msgspec.structs.replace(
        layer3, routers={id: tuple(one(router) for router in specs) for id, specs in layer3.routers.items()}
    )


def forget(tx: Tx, subject_id: str) -> None:
    """Nothing is said of a network or router that is gone."""
    for row in tx.find(Hosting, subject_id=subject_id):
        tx.delete(row)
