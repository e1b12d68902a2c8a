"""What goes and what may come, by what is known of the disk."""

from regproxy.policy.store.quota import FileSystem, Limits
from regproxy.storage.quota import Quota

BLOCK = 4096


async def _vast() -> FileSystem:
    return FileSystem(size=1_000_000 * BLOCK, free=1_000_000 * BLOCK)


async def test_nothing_goes_before_anyone_has_looked_at_the_disk() -> None:
    """What lies there from before is counted at the start; taking an unknown disk for a full one would sweep all of it."""

    async def measured() -> FileSystem:
        return FileSystem(size=1000, free=900)

    quota = Quota(Limits(), measured)
    quota.put(100)
    assert quota.excess() == 0
    await quota.look()
    assert quota.excess() == 0


async def test_its_own_limit_holds_from_the_start() -> None:
    async def measured() -> FileSystem:
        return FileSystem(size=1_000_000, free=900_000)

    quota = Quota(Limits(max_size=1600), measured)
    quota.put(2000)
    assert quota.excess() == 500, "down to fifteen sixteenths"


async def test_d31_what_is_left_behind_while_somebody_looks_is_counted_once() -> None:
    """Its file is seen as soon as its writer lets it go, which counts it at the same time; one that was taken over is missed likewise."""
    quota = Quota(Limits(), _vast)
    quota.trimmed(0, freed=0, left=BLOCK)
    assert quota.usage.abandoned == BLOCK, "the first look is all that is known"
    before = quota.usage.abandoned
    (await quota.reserve(2 * BLOCK)).abandon(2 * BLOCK)
    quota.trimmed(before, freed=0, left=3 * BLOCK)
    assert quota.usage.abandoned == 3 * BLOCK
    quota.trimmed(3 * BLOCK, freed=BLOCK, left=2 * BLOCK)
    assert quota.usage.abandoned == 2 * BLOCK, "what went is counted at once"


async def test_d31_what_two_looks_agree_on_is_believed() -> None:
    quota = Quota(Limits(), _vast)
    quota.trimmed(0, freed=0, left=BLOCK)
    counted = []
    for left in (3 * BLOCK, BLOCK, 3 * BLOCK, 3 * BLOCK):
        quota.trimmed(quota.usage.abandoned, freed=0, left=left)
        counted.append(quota.usage.abandoned)
    assert counted == [BLOCK, BLOCK, BLOCK, 3 * BLOCK]


async def test_d31_what_is_left_behind_in_each_of_two_looks_is_counted_once() -> None:
    """A host that cuts all blobs at one place leaves files of one size: the second look seemed to agree with the first."""
    quota = Quota(Limits(), _vast)
    quota.trimmed(0, freed=0, left=0)
    for number in (1, 2, 3):
        before = quota.usage.abandoned
        (await quota.reserve(BLOCK)).abandon(BLOCK)
        quota.trimmed(before, freed=0, left=number * BLOCK)
        assert quota.usage.abandoned == number * BLOCK
    for _ in range(2):
        quota.trimmed(3 * BLOCK, freed=0, left=2 * BLOCK)
    assert quota.usage.abandoned == 2 * BLOCK, "what two looks agree on, in which nothing changed, is believed"
