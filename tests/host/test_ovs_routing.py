"""What guests see of the Linux driver's routers, they see of the Open vSwitch driver's: the same tests."""

from ovs_lab import ovs_driver as ovs_driver
from test_linux_routing import *  # noqa: F403
