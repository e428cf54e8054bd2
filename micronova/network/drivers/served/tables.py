"""What parts and joins networks on this host, as the text of one nftables table, empty. host_rules.py fills it.

A driver may have put chains of the same names into the table before: theirs are the first rules then.
"""

METADATA = "169.254.169.254"
ND_TYPES = "{ 130, 131, 132, 133, 134, 135, 136, 143 }"  # MLD (RFC 2710, 3810) and neighbour discovery (RFC 4861)

INET_TABLE = """
table inet {table} {{
  set links {{ type ifname; }}
  set routed {{ type ifname . ifname; }}
  set reach {{ type ifname . ipv4_addr; flags interval; }}
  set reach6 {{ type ifname . ipv6_addr; flags interval; }}
  set floating {{ type ifname . ipv4_addr; }}
  set plain {{ type ifname . ipv4_addr; flags interval; }}
  set plain6 {{ type ifname . ipv6_addr; flags interval; }}
  chain zone {{
    type filter hook prerouting priority raw; policy accept;
    iifname . ip daddr @reach notrack
    iifname . ip6 daddr @reach6 notrack
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname . oifname @routed accept
    oifname . ip daddr @floating accept
    oifname . ip daddr @plain accept
    oifname . ip6 daddr @plain6 accept
    oifname @links ct state established,related accept
    oifname @links drop
    iifname . ip saddr @floating accept
    iifname . ip saddr @plain accept
    iifname . ip6 saddr @plain6 accept
    iifname @links ip saddr != {links} drop
    iifname @links meta nfproto ipv6 drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname @links ct state established,related accept
    iifname @links ip6 saddr fe80::/10 icmpv6 type {{ 135, 136 }} accept
    iifname @links drop
  }}
  chain way_out {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {links} oifname != "{prefix}*" masquerade
  }}
}}
"""
