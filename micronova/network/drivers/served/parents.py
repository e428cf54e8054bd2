"""What a port may be carried by that has no interface of its own: another one, under a VLAN tag."""

from micronova.errors import Rejected
from micronova.network.driver import ParentSpec
from micronova.network.drivers.served.names import check_device, check_id

VLAN_MOST = 4094


def check(parent: ParentSpec | None) -> None:
    """Raises Rejected for what can't carry a port."""
    if parent is None:
        return
    check_id(parent.port_id)
    check_device(parent.device)
    if not 1 <= parent.vlan <= VLAN_MOST:
        raise Rejected(f"{parent.vlan} is no VLAN: 1 to {VLAN_MOST}")
