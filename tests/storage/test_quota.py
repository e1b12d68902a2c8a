"""What goes and what may come, by what is known of the disk."""

from regproxy.policy.store.quota import FileSystem, Limits
from regproxy.storage.quota import Quota


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
