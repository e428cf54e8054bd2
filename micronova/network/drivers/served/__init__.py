"""What serves a network on a Linux host, whatever switches its packets: gateway, DHCP and DNS, metadata, NAT, routes.

No driver: drivers build on it, and know nothing of each other. They extend driver.py, kernel.py and networks.py.
"""
