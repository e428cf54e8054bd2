"""Guests that can't let go of the place that their volume had: what they wrote there last is never lost."""

import pytest
from compute.server_world import CTX
from compute.test_server_volumes import all_tasks
from compute.test_volume_moves import Away, Wide, used, wide

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Rejected
from micronova.volume import moves
from micronova.volume.contract import Moving
from micronova.volume.db import Message, get_volume
from micronova.volume.driver import Connection

__all__ = ["used", "wide"]


@pytest.mark.parametrize("times", [1, 1000])
async def test_what_a_guest_writes_after_it_could_not_let_go_of_the_old_place_is_kept(
    used: Wide, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "_ASKED", 1)
    driver, old = used.host.driver, used.host.backends[used.first]
    hold, later = driver.mirror, b"later"

    def write_later(before: Connection, after: Connection) -> None:
        """Both places hold the same; then the guest goes on in the old one."""
        hold(before, after)
        old.write(used.volume, {3: later})

    driver.mirror = write_later
    driver.refuse("the copy was given up", operation="switch_volume", error=Rejected, times=times)
    await used.move()
    await used.cloud.wait(lambda: _tried(used), bool)
    driver.mirror = hold

    row = await used.settled()

    assert used.first == row.backend or times == 1
    assert [later] == await used.holds()
    assert {row.backend: ([row.driver_name], [each.id for each in await used.cloud.attachments(used.volume)])} == {
        backend: there for backend, there in (await used.places()).items() if there != ([], [])
    }
    assert [] == await used.host.volume.audit(CTX)


async def _tried(used: Wide) -> bool:
    """Whether a guest has refused to let go of the old place."""
    return any(task.method == "switch_disk" and not task.open for task in await all_tasks(used.cloud))


class Clinging(Away):
    """Guests that say that they have all of it in the new place, and never that they left the old one."""

    missed = 0

    def record_switch(self, tx: Tx, ctx: Context, move: Moving) -> bool:
        volume = get_volume(tx, move.volume_id)
        if volume.migration_status != moves.COMPLETING:
            self._guests.volumes.lay(tx, volume, move.way, moves.COMPLETING)
        return True


async def test_both_places_are_kept_of_a_guest_that_never_lets_go(used: Wide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "_ASKED", 0)
    used.host.volume.guests = Clinging(used.host.compute)

    other = await used.move()
    row = await used.settled("error")
    await used.host.volume.reconcile(CTX)

    exports = [each.id for each in await used.cloud.attachments(used.volume)]
    assert {used.first: ([used.volume], exports), other: ([row.driver_name], exports)} == await used.places()
    assert (other, "completing") == (row.backend, row.migration_status)
    [told] = await used.cloud.db.read(lambda tx: tx.find(Message, resource_id=used.volume))
    assert "both are kept" in told.text
