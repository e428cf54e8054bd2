"""Hypervisors: fake (pretends, in memory) and qemu (virtual machines). Each knows this host only."""
