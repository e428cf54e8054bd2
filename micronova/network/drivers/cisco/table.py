"""What differs between vendors: commands, what their answers look like, what they can't do. Data only.

Templates know {id}, {name}, {port} and {vlans} (a list such as "7,100-109"). Patterns are regular expressions,
matched against one line at a time.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from micronova.clock import Clock
from micronova.network.switch_file import SwitchSettings

if TYPE_CHECKING:
    from micronova.network.drivers.cisco.driver import CliSwitch

NO = r"%(?!\s*Warning|[A-Z][A-Z0-9_]*-\d)"
"""A refusal begins with a percent sign, and so does what a switch logs: `%LINK-3-UPDOWN: …`."""


class CommandTable(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor's commands. The defaults are what Cisco and those who followed have in common."""

    vendor: str

    # -- the session
    prepare: tuple[str, ...] = ("terminal length 0", "terminal width 511")
    enable: str = "enable"
    configure: str = "configure terminal"
    leave: str = "exit"
    save: str = "copy running-config startup-config"

    # -- asking
    show_vlans: str = "show vlan brief"
    vlan_row: str = r"(?P<id>\d+)\s+(?P<name>\S+)\s+(?:active|sus|act/|suspended)"
    show_port: str = "show running-config interface {port}"
    port_heading: str = r"interface\s+\S"
    trunk_row: str = r"switchport mode trunk\b"
    access_row: str = r"switchport access vlan (?P<id>\d+)"
    routed_row: str = r"no switchport\s*$"
    native_row: str = r"switchport trunk native vlan (?P<id>\d+)"
    allowed_row: str = r"switchport trunk allowed vlan (?P<vlans>(?:add |except )?[\d,\- ]+|none|all)\s*$"

    # -- telling
    vlan: str = "vlan {id}"
    name: str = "name {name}"
    remove_vlan: str = "no vlan {id}"
    interface: str = "interface {port}"
    native: str = "switchport trunk native vlan {id}"
    only: str = "switchport trunk allowed vlan {vlans}"
    carry: str = "switchport trunk allowed vlan add {vlans}"
    drop: str = "switchport trunk allowed vlan remove {vlans}"
    trunk: tuple[str, ...] = ("switchport mode trunk",)

    # -- refusing
    refusals: tuple[str, ...] = (NO, r"ERROR\b", r"Command rejected", r"Invalid ")
    hopeless: tuple[str, ...] = (
        r"Invalid (?:input|command|interface|parameter|port)",
        r"(?:Incomplete|Ambiguous) command",
        r"[Ii]nterface does not exist",
        r"out of (?:the )?range",
    )
    reserved: tuple[tuple[int, int], ...] = ((1, 1), (1002, 1005))
    """VLANs that belong to the switch, first and last of each range."""
    vlans_in_line: int = 120
    """Most characters of a list of VLANs in one command."""

    def configured(self, name: str, settings: SwitchSettings, folder: Path, clock: Clock) -> "CliSwitch":
        """A switch of this vendor, from its section of the switches file, which lies in `folder`.

        Raises ConfigError naming the key that is missing or wrong.
        """
        from micronova.network.drivers.cisco.driver import CliSwitch  # only here is the SSH library needed

        return CliSwitch.configured(self, name, settings, folder)
