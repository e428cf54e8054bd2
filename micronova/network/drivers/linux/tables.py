"""What judges bridged packets, as the texts of two nftables tables, empty. rules.py says how they work and fills them.

The second is the one that joins networks, too: its rules about that come after these.

`MARK_OF_GATEWAY` marks what comes out of a service namespace: it has been judged there. On a network that spans hosts
the two directions of a routed connection take different ways, so its packets may look as if they belonged to none.

On a host bridge that is not ours (a "lan") only our ports are judged: what others send to each other there, and to this
host, is nobody's business here. What ports on it send is judged before the host can take it in or route it.
"""

CUT = "0x6d6e6375"
MARK_OF_GATEWAY = 2**31 - 1

BRIDGE_TABLE = """
table bridge {table} {{
  set ports {{ type ifname; }}
  set on_lans {{ type ifname; }}
  set apart {{ type ifname; }}
  map sent {{ type ifname : verdict; }}
  map leaves {{ type ifname : verdict; }}
  map got {{ type ifname : mark; }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname vmap @sent
  }}
  chain from_gateway {{
    meta mark set {gateway}
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname @on_lans accept
    iifname @ports drop
  }}
  chain forward {{
    type filter hook forward priority 10; policy accept;
    iifname @ports meta mark set 0
    meta mark set oifname map @got
    oifname vmap @leaves
    iifname @apart oifname != @ports drop
    oifname @apart iifname != @ports drop
  }}
}}
"""

JUDGED_TABLE = """
table inet {table} {{
  set bridges {{ type ifname; }}
  set lans {{ type ifname; }}
  set trunks {{ type ifname; }}
  map of_ipv4 {{ type ifname . ipv4_addr : mark; }}
  map of_ipv6 {{ type ifname . ipv6_addr : mark; }}
  map zones {{ type ifname : verdict; }}
  map egress {{ type mark : verdict; }}
  map ingress {{ type mark : verdict; }}
  chain zone {{
    type filter hook prerouting priority raw; policy accept;
    iifname vmap @zones
    iifname @trunks notrack
  }}
  chain cut {{
    ct mark set {cut}
    drop
  }}
  chain replies {{
    ct mark {cut} drop
    accept
  }}
  chain lan {{
    type filter hook prerouting priority filter; policy accept;
    iifname != @lans accept
    meta mark 0 accept
    ct direction reply ct state established goto replies
    ct mark {cut} ct mark set 0
    udp sport 68 udp dport 67 accept
    udp sport 546 udp dport 547 accept
    ip daddr {metadata} tcp dport 80 accept
    icmpv6 type {nd} accept
    meta mark vmap @egress
  }}
  chain bridged {{
    meta mark {gateway} accept
    ct state vmap {{ related : accept, invalid : drop }}
    ct direction reply ct state established goto replies
    ct mark {cut} ct mark set 0
    meta mark 0 accept
    udp sport 68 udp dport 67 accept
    udp sport 546 udp dport 547 accept
    ip daddr {metadata} tcp dport 80 accept
    icmpv6 type {nd} accept
    meta mark vmap @egress
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname @bridges goto bridged
  }}
  chain delivered {{
    ct state related accept
    ct direction reply ct state established goto replies
    meta mark 0 accept
    udp sport 67 udp dport 68 accept
    udp sport 547 udp dport 546 accept
    icmpv6 type {nd} accept
    meta mark vmap @ingress
  }}
  chain postrouting {{
    type filter hook postrouting priority filter; policy accept;
    oifname @bridges jump delivered
    oifname @bridges drop
    oifname @lans meta mark 0 meta mark set oifname . ip daddr map @of_ipv4
    oifname @lans meta mark 0 meta mark set oifname . ip6 daddr map @of_ipv6
    oifname @lans jump delivered
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname @bridges drop
  }}
}}
"""
