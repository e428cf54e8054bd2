"""Rows of routers and floating IPs."""

from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, Row
from micronova.network.db.standard import Standard


class Router(Standard, frozen=True, kw_only=True):
    """Joins networks, and leads out of them by `external_network_id` where it has a gateway.

    `interface_ids` are its ports on the networks; they are here too, so that adding one changes the router: two whose
    ranges overlap can't both win. The gateway's port is not among them. `distributed` and `ha` are what was asked for;
    every host with one of its networks is the router, whatever they say.
    """

    TABLE: ClassVar[str] = "routers"

    status: str = "ACTIVE"
    admin_state_up: bool = True
    external_network_id: Annotated[str | None, INDEX] = None
    gateway_port_id: str | None = None
    enable_snat: bool = True
    routes: tuple[tuple[str, str], ...] = ()
    availability_zone_hints: tuple[str, ...] = ()
    interface_ids: tuple[str, ...] = ()
    distributed: bool = True
    ha: bool = True


class RouterPort(Row, frozen=True, kw_only=True):
    """Port `id` is the router's interface on the network."""

    TABLE: ClassVar[str] = "router_ports"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    router_id: Annotated[str, INDEX]
    network_id: Annotated[str, INDEX]


class FloatingIp(Standard, frozen=True, kw_only=True):
    """An address of an external network that stands for a port's own. `holder_id` is the port that keeps the address.

    `fixed_network_id` is the network of `port_id`. Both and `router_id` are None while it stands for none.
    """

    TABLE: ClassVar[str] = "floating_ips"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("floating_network_id", "floating_ip_address"),
        ("floating_network_id", "port_id", "fixed_ip_address"),
    )

    status: str = "DOWN"
    floating_network_id: str
    floating_ip_address: str
    holder_id: Annotated[str, INDEX]
    port_id: Annotated[str | None, INDEX] = None
    fixed_ip_address: str | None = None
    fixed_network_id: Annotated[str | None, INDEX] = None
    router_id: Annotated[str | None, INDEX] = None
    dns_name: str = ""
    dns_domain: str = ""
    qos_policy_id: Annotated[str | None, INDEX] = None
