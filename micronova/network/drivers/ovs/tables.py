"""The way of a packet through the integration bridge: table by table, and what the registers hold.

    CLASSIFY  whose port is it from: its network, its chain of rules for what it sends
    FOREIGN   from another host: not if it is, or is for, the gateway, which each host has of its own
    SPOOF     from a guest: only as itself (CLAIM: nor claiming others' IPv6 addresses)
    QOS       not too much of it, and marked
    TRACK     the connection that it belongs to, in a zone of the network's own; then STATE
    SENT      what the sender's rules let pass
    WHERE     the port that it is for, or all of them; then RECEIVER: that port's chain of rules
    ABROAD    to another host: not if it is from, or for, the gateway
    GOT       what the receiver's rules let pass
    DELIVER   the connection is written down; then SEND
    REFUSED   a connection that the rules no longer allow is marked: its other side passes no more

Every packet of the side that opened a connection is judged by the rules as they are now, replies pass with the
connection. A packet whose way ends in no flow is dropped.
"""

CLASSIFY, FOREIGN, SPOOF, CLAIM, QOS, TRACK, STATE, SENT = 0, 5, 10, 12, 15, 20, 30, 40
WHERE, RECEIVER, ABROAD, GOT, REFUSED, DELIVER, SEND = 50, 55, 57, 60, 70, 80, 90
MARKER = 99

NETWORK = "NXM_NX_REG0[]"  # the network's zone
ZONE = "NXM_NX_REG0[0..15]"
JUDGED = "NXM_NX_REG1[]"  # 1: passes with its connection
TARGET = "NXM_NX_REG2[]"  # the port it is for
SENDER = "OXM_OF_PKT_REG2[]"  # chain of rules, 0 for none
HEARER = "OXM_OF_PKT_REG3[]"
MATCH_NETWORK, MATCH_JUDGED, MATCH_TARGET, MATCH_SENDER, MATCH_HEARER = "reg0", "reg1", "reg2", "xreg2", "xreg3"
CUT = 0x6D6E6375
MULTICAST = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"

FORWARD = f"resubmit(,{WHERE}),resubmit(,{RECEIVER})"


def to(table: int) -> str:
    """Go on in this table."""
    return f"resubmit(,{table})"


def load(value: int, field: str) -> str:
    """The register holds the value."""
    return f"load:{value:#x}->{field}"
