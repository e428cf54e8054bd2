"""The compute room: servers, flavors, key pairs, and what runs where on this host.

Decides what may happen to a server, when and where. Calls network for ports, image for bytes,
scheduler for a host. Its drivers own guests on one host: fake (pretends), qemu (virtual machines).
"""
