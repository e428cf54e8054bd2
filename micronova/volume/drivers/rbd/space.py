"""A pool's space, as the cluster tells it."""

from typing import Any

from micronova.errors import DriverError
from micronova.volume.driver import Stats
from micronova.volume.drivers.rbd.cluster import Cluster


async def measure(cluster: Cluster) -> Stats:
    """The pool's space: what it may still take, or what is left of its quota where that is less. Raises DriverError.

    Where no manager daemon (ceph-mgr) ever counted, only a pool with a quota can tell, by what its images take.
    """
    told = await cluster.ceph("df", "detail")
    counted = _pool(told["pools"], "name", cluster.pool) if told["stats"]["total_bytes"] else None
    if counted is not None:
        facts = counted["stats"]
        used, left, limit = int(facts["stored"]), int(facts["max_avail"]), int(facts.get("quota_bytes") or 0)
    else:
        pool = _pool(await cluster.ceph("osd", "pool", "ls", "detail"), "pool_name", cluster.pool) or {}
        limit = int(pool.get("quota_max_bytes") or 0)
        if not limit:
            raise DriverError("the Ceph cluster does not tell its space: it has no manager daemon, the pool no quota")
        found = await cluster.rbd_json("du", "--pool", cluster.pool)
        used = int(found["total_used_size"])
        left = limit - used
    total = min(used + left, limit) if limit else used + left
    return Stats(total_bytes=total, free_bytes=max(0, min(left, total - used)), allocated_bytes=used)


def _pool(pools: Any, key: str, name: str) -> dict[str, Any] | None:
    return next((pool for pool in pools if pool[key] == name), None)
