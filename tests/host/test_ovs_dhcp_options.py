"""What guests see of the Linux driver's dhcp options, they see of the Open vSwitch driver's: the same tests."""

from ovs_lab import ovs_driver as ovs_driver
from test_linux_dhcp_options import *  # noqa: F403
