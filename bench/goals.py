"""What is wanted: for each row of the table our figure, the primitive beside it in the same run, the goal, the peer.

The peer is a real OpenStack (Debian 12's Keystone, Glance, Placement, Nova with its fake hypervisor, Neutron, MariaDB,
RabbitMQ, memcached) on a machine of the same kind with 2 cores, measured in November 2026: CPU of all its services.
"""

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """A row. `ours` and `floor` name results; `limit` is in their unit, with `most` False a least; `over` what is
    compared with the limit: our figure, its ratio to the floor or, where the floor is to be subtracted, the excess."""

    what: str
    ours: str
    floor: str = ""
    limit: float | None = None
    most: bool = True
    compare: str = "value"
    peer: str = ""


def _cpu(what: str, limit: float | None, peer: str = "") -> Goal:
    return Goal(what, f"{what}: CPU", f"{what}: floor", limit, peer=peer)


GOALS = (
    Goal("cold start to first token", "cold start to first token", "libraries imported: floor", 1, peer="57 to 65 s"),
    Goal("idle RSS", "idle RSS", "libraries imported: RSS", 120, peer="3,315 MiB"),
    Goal("idle CPU of a core", "idle CPU", "", 0.3, peer="2.4 %"),
    Goal("RSS with 1,000 servers", "RSS with 1,000 servers", "libraries imported: RSS"),
    Goal("idle CPU with 1,000 servers", "idle CPU with 1,000 servers", "", 0.3),
    Goal("token by password", "token by password: CPU", "argon2id alone", 26, peer="227 ms"),
    _cpu("token by token", 0.2, "8.9 to 11 ms"),
    _cpu("token validate", 0.1, "12 ms"),
    _cpu("GET server", 0.15, "39 to 41 ms"),
    _cpu("GET servers/detail, 100", 1.5, "155 to 174 ms"),
    _cpu("GET servers/detail, 1,000", 15, "3,106 to 4,620 ms"),
    _cpu("GET networks", 0.2, "58 to 62 ms"),
    _cpu("GET images", 0.2, "9 to 11 ms"),
    _cpu("GET flavors/detail", None),
    _cpu("GET ports", None),
    Goal("boot of one, to ACTIVE", "boot of one, request to ACTIVE", "", 20, peer="1.64 s"),
    Goal("boot of 40, 8 at once", "boot of 40, 8 at once", "", 60, most=False, peer="0.75 /s"),
    Goal("boot of 100, 8 at once", "boot of 100, 8 at once", "", 60, most=False, peer="0.75 /s"),
    Goal("boot, CPU per server", "boot of 100: CPU per server", "boot: floor", 15, peer="2.58 s"),
    Goal("delete, CPU per server", "delete of 100: CPU per server", "", 8, peer="1.08 s"),
    Goal(
        "call in process, over a bare await",
        "memory bus, 64 at once: CPU per call",
        "bare await, 64 at once: CPU per call",
        3,
        compare="excess",
        peer="2.3 to 4.0 ms",
    ),
    Goal(
        "call over NATS, CPU of both and broker",
        "nats bus, 64 at once: CPU per call",
        "bare nats-py request, 64 at once: CPU per call",
        90,
        peer="2.3 to 4.0 ms",
    ),
    Goal("recorded task", "record a task, inline", "insert and journal, by hand", 250, peer="0.84 to 1.4 ms (cast)"),
    Goal("row inserted and journalled", "insert and journal, inline", "insert and journal, by hand"),
    Goal("row by id", "get by id, inline", "get by id, by hand"),
    Goal("list of 100 rows", "list 100, inline", "list 100, by hand"),
    Goal("list of 1,000 rows", "list 1000, inline", "list 1000, by hand"),
    Goal("addresses given, 1 caller", "addresses a second, 1 at once"),
    Goal("addresses given, 16 callers", "addresses a second, 16 at once"),
    Goal("plug by the manager, without the driver", "manager: plug, without the driver"),
    *(Goal(f"plug one more, {n} ports", f"linux, {n} ports: plug one more") for n in (1, 100, 1000)),
    *(Goal(f"new rule for {n} ports", f"linux, {n} ports: new rule for all") for n in (1, 100, 1000)),
    *(Goal(f"one more member, {n} ports", f"linux, {n} ports: a member more") for n in (1, 100, 1000)),
    Goal("volume of 1 GiB, thin", "volume: create 1 GiB thin", "qemu-img create 1 GiB", 1.2, compare="ratio"),
    Goal("volume copied, 1 GiB", "volume: copy of 1 GiB", "qemu-img create on a base"),
    Goal("volume copied, 10 GiB over 1 GiB", "volume: copy of 10 GiB", "volume: copy of 1 GiB", 2, compare="ratio"),
    Goal(
        "sequential write to a volume",
        "volume: sequential write",
        "bare export: sequential write",
        0.9,
        most=False,
        compare="ratio",
    ),
    Goal(
        "volume attached, until its guest sees it",
        "volume attached, until its guest sees it",
        "bare QMP, until its guest sees it",
        0.3,
        compare="excess",
    ),
    Goal("volumes by the API, 8 at once", "volumes by the API, 8 at once"),
    Goal(
        "guest boot over bare QEMU",
        "guest boot by the driver",
        "guest boot: bare QEMU",
        0.3,
        compare="excess",
    ),
)
