"""Networks, ports and guests for tests of the Linux network driver with real packets."""

from collections.abc import Sequence

from netlab import Guest, Lab

from micronova.network.driver import Lease, NetworkSpec, PortSpec, RuleSpec, SubnetSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver

EGRESS = (RuleSpec(direction="egress", ethertype="IPv4"), RuleSpec(direction="egress", ethertype="IPv6"))
PING = RuleSpec(direction="ingress", ethertype="IPv4", protocol="icmp")
SSH = RuleSpec(direction="ingress", ethertype="IPv4", protocol="tcp", port_min=22, port_max=22)
OPEN = (*EGRESS, RuleSpec(direction="ingress", ethertype="IPv4"), RuleSpec(direction="ingress", ethertype="IPv6"))
GATEWAY = "10.9.0.1"
MTU = 1400


def network(id: str = "net-a", *, cidr: str = "10.9.0.0/24", gateway: str | None = GATEWAY) -> NetworkSpec:
    subnet = SubnetSpec(id=f"{id}-subnet", cidr=cidr, gateway=gateway)
    return NetworkSpec(id=id, mtu=MTU, subnets=(subnet,), domain="lab.test")


def port(name: str, number: int, *, on: str = "net-a", rules: Sequence[RuleSpec] = OPEN) -> PortSpec:
    return PortSpec(
        id=f"port-{name}",
        network_id=on,
        device=f"p-{name}",
        mac=f"fa:16:3e:00:00:{number:02x}",
        ips=(f"10.9.0.{number}",),
        rules=tuple(rules),
        leases=(Lease(ip=f"10.9.0.{number}", hostname=f"port-{name}"),),
    )


async def plug(lab: Lab, driver: LinuxNetworkDriver, spec: PortSpec, *, gateway: str | None = GATEWAY) -> Guest:
    """A guest with its port, its address and MTU set by hand; a network drops frames that are too long for it."""
    guest = lab.guest(spec.id, device=spec.device, mac=spec.mac)
    guest.run("ip", "link", "set", "eth0", "mtu", str(MTU))
    await driver.ensure_port(spec)
    for ip in spec.ips:
        guest.set_address(f"{ip}/24", gateway)
    return guest
