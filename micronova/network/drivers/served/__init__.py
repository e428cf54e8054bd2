"""What serves a network on a Linux host, whatever switches its packets: gateway, DHCP and DNS, metadata, NAT, routes.

No driver: drivers build on it, and know nothing of each other. kernel.py and networks.py are the two that they extend.
"""
