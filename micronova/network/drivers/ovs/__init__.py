"""NetworkDriver by Open vSwitch: an integration bridge a cloud, whose flows are all there is to decide."""
