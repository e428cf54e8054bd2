"""What is done to a guest's packets beyond judging them: how many may pass, and how those it sends are marked.

What a guest gets waits in its interface's own queue, a token bucket. The queue is short: answers to what the guest
asks elsewhere wait there too, behind what it downloads. Measured at 4 Mbit/s with a download that takes all of it: a
ping waits 60 ms, where a queue that also counts the burst (as `tc` does for a "latency") made it wait 700 ms; the
download comes to 95 % of the rate all the same. What it sends can't wait anywhere: what is too
much is dropped where the packet filter sees it first, for which kernels need nothing that packet filters don't.
"""

from micronova.errors import Rejected
from micronova.network.driver import QosSpec, RateSpec
from micronova.network.drivers.served.links import Link, Links, missing, refused

KIND, HANDLE = "tbf", 0x6D6E_0000  # "mn": told apart from a queue that somebody else gave an interface of his own
BYTES_OF_KBIT = 125
HIGHEST_KBPS = 34_000_000
"""What the kernel's 32 bits of bytes a second hold; more than that is no limit."""
LEAST_BURST = 8 * 1600
USUAL_BURST = 0.8
"""Of a second: what a TCP connection needs to come near its rate (Networking API reference, "max_burst_kbps")."""
LONGEST_WAIT = 0.1
"""In seconds, for rates at which that is more than `LEAST_QUEUE`."""
LEAST_QUEUE = 1 << 16
"""What comes in one piece from a sender that leaves it to its card, or to a bridge, to cut it into packets."""
DSCP_MOST = 63


def check(qos: QosSpec) -> None:
    """Raises Rejected for what can't be."""
    if qos.dscp is not None and not 0 <= qos.dscp <= DSCP_MOST:
        raise Rejected(f"{qos.dscp} is no DSCP mark: 0 to {DSCP_MOST}")
    for rate in (qos.egress, qos.ingress):
        if rate is not None and (rate.kbps <= 0 or rate.burst_kbit < 0):
            raise Rejected(f"{rate.kbps} kilobits a second with a burst of {rate.burst_kbit} is no rate")


def rules_for(qos: QosSpec) -> list[str]:
    """Rules for what the guest sends: drop what is too much, mark the rest."""
    marked = [f"ether type ip ip dscp set {qos.dscp}", f"ether type ip6 ip6 dscp set {qos.dscp}"]
    return [*limit(qos.egress), *(marked if qos.dscp is not None else [])]


def limit(rate: RateSpec | None, match: str = "") -> list[str]:
    """The rule that drops what of the matching packets is more than the rate."""
    if rate is None or rate.kbps >= HIGHEST_KBPS:
        return []
    bound = f"limit rate over {rate.kbps * BYTES_OF_KBIT} bytes/second burst {_burst(rate)} bytes drop"
    return [f"{match} {bound}".strip()]


def shape(links: Links, link: Link, rate: RateSpec | None) -> None:
    """What goes out by the interface, to its guest, keeps to the rate; None lets everything pass."""
    if rate is None or rate.kbps >= HIGHEST_KBPS:
        if link.qdisc == KIND and _ours(links, link):
            with refused(f"lifting the limit of {link.name}"), missing(2, 22):
                links.netlink.tc("del", index=link.index, parent=0xFFFF_FFFF)
        return
    per_second = rate.kbps * BYTES_OF_KBIT
    burst = _burst(rate)
    with refused(f"limiting {link.name}"):
        links.netlink.tc(
            "replace",
            KIND,
            index=link.index,
            handle=HANDLE,
            rate=per_second,
            burst=burst,
            limit=max(int(per_second * LONGEST_WAIT), LEAST_QUEUE),
        )


def _ours(links: Links, link: Link) -> bool:
    with refused(f"looking at the queue of {link.name}"):
        return any(message["handle"] == HANDLE for message in links.netlink.get_qdiscs(index=link.index))


def _burst(rate: RateSpec) -> int:
    """In bytes; some whole packets at least, or none would ever pass."""
    return max(int((rate.burst_kbit or rate.kbps * USUAL_BURST) * BYTES_OF_KBIT), LEAST_BURST)
