"""A process with one switch of fake-switches on a free port of loopback.

`state` on its input tells what it has, `reset` makes it new. Its own process: Twisted's reactor runs once in a
process, and the package warns where the tests make that an error.
"""

import json
import sys

from fake_switches.switch_factory import SwitchFactory
from fake_switches.transports.ssh_service import SwitchSshService
from simulator_words import ENABLE, PASSWORD, USER
from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineReceiver


class Asked(LineReceiver):
    """Answers a line with a line of JSON; the end of the input is the end."""

    delimiter = b"\n"

    def __init__(self, core, port):
        self.configuration = core.switch_configuration
        self.port = port

    def connectionMade(self):
        self.sendLine(json.dumps({"port": self.port}).encode())

    def lineReceived(self, line):
        if line == b"reset":
            self.reset()
        ports = {
            port.name: {
                "mode": port.mode,
                "trunk": port.trunk_vlans,
                "native": port.trunk_native_vlan,
                "encapsulation": port.trunk_encapsulation_mode,
            }
            for port in self.configuration.ports
        }
        vlans = {vlan.number: vlan.name for vlan in self.configuration.vlans}
        self.sendLine(json.dumps({"vlans": vlans, "ports": ports}).encode())

    def reset(self):
        for vlan in [vlan for vlan in self.configuration.vlans if vlan.number != 1]:
            self.configuration.remove_vlan(vlan)
        for port in self.configuration.ports:
            port.reset()

    def connectionLost(self, reason):
        if reactor.running:
            reactor.stop()


def main(model):
    core = SwitchFactory().get(model, hostname="rack-1-switch.example", password=ENABLE)
    service = SwitchSshService(ip="127.0.0.1", port=0, switch_core=core, users={USER: PASSWORD.encode()})
    listening = service.hook_to_reactor(reactor)
    stdio.StandardIO(Asked(core, listening.getHost().port))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
