"""What guests see of the Linux driver's forwardings, they see of the Open vSwitch driver's: the same tests."""

from ovs_lab import ovs_driver as ovs_driver
from test_linux_forwardings import *  # noqa: F403
