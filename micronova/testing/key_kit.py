"""The conformance kit of KeyManager: what everything that keeps keys of encrypted volumes must do.

A key manager's test inherits `KeyManagerKit`, gives a pytest fixture `keys` (empty), and says in `again` how the next
process finds the same keys.
"""

import asyncio

import pytest

from micronova.errors import NotFound, Rejected
from micronova.volume.keys import KeyManager

ONE, TWO = "60000000-0000-4000-8000-000000000001", "60000000-0000-4000-8000-000000000002"
KEY, OTHER = bytes(range(32)), bytes(range(100, 164))


class KeyManagerKit:
    """Inherit, give the fixture `keys`, and run."""

    def again(self, keys: KeyManager) -> KeyManager:
        """The key manager as a new process has it. The same object here."""
        return keys

    async def test_a_key_is_kept_also_for_the_next_process(self, keys: KeyManager) -> None:
        await keys.put(ONE, KEY)
        await keys.put(TWO, OTHER)
        await keys.close()

        keys = self.again(keys)

        assert [KEY, OTHER] == [await keys.get(ONE), await keys.get(TWO)]

    async def test_keeping_it_again_changes_nothing_and_another_is_refused(self, keys: KeyManager) -> None:
        await keys.put(ONE, KEY)
        await keys.put(ONE, KEY)

        with pytest.raises(Rejected):
            await keys.put(ONE, OTHER)

        assert KEY == await keys.get(ONE)

    async def test_a_key_that_is_not_there_is_told_for_certain(self, keys: KeyManager) -> None:
        with pytest.raises(NotFound):
            await keys.get(ONE)
        await keys.put(TWO, KEY)
        with pytest.raises(NotFound):
            await keys.get(ONE)

    async def test_a_removed_key_is_gone_alone_and_removing_repeats(self, keys: KeyManager) -> None:
        await keys.remove(ONE)
        await keys.put(ONE, KEY)
        await keys.put(TWO, OTHER)

        await keys.remove(ONE)
        await keys.remove(ONE)

        with pytest.raises(NotFound):
            await self.again(keys).get(ONE)
        assert OTHER == await keys.get(TWO)

    async def test_a_removed_key_may_come_again(self, keys: KeyManager) -> None:
        await keys.put(ONE, KEY)
        await keys.remove(ONE)

        await keys.put(ONE, OTHER)

        assert OTHER == await keys.get(ONE)

    @pytest.mark.parametrize("id", ["", "seal", "../seal", "a/b", ONE.upper().replace("6", "A"), f"{ONE}/x"])
    async def test_what_names_no_key_is_refused(self, keys: KeyManager, id: str) -> None:
        for call in (keys.get(id), keys.put(id, KEY), keys.remove(id)):
            with pytest.raises(Rejected):
                await call

    async def test_many_at_once_are_all_kept(self, keys: KeyManager) -> None:
        kept = {f"60000000-0000-4000-8000-{number:012d}": bytes([number]) * 32 for number in range(1, 9)}

        await asyncio.gather(*(keys.put(id, key) for id, key in kept.items()))

        assert list(kept.values()) == await asyncio.gather(*(keys.get(id) for id in kept))

    async def test_its_errors_and_looks_tell_no_key(self, keys: KeyManager) -> None:
        await keys.put(ONE, KEY)

        with pytest.raises(Rejected) as told:
            await keys.put(ONE, OTHER)

        for word in (KEY.hex(), OTHER.hex(), repr(KEY), repr(OTHER)):
            assert word not in repr(keys) + repr(told.value) + repr(told.value.facts)
