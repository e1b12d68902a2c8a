"""What goes and what may come, by what is known of the disk."""

from regproxy.policy.room import FileSystem, Limits
from regproxy.storage.room import Room


async def test_nothing_goes_before_anyone_has_looked_at_the_disk() -> None:
    """What lies there from before is counted at the start; taking an unknown disk for a full one would sweep all of it."""

    async def measured() -> FileSystem:
        return FileSystem(size=1000, free=900)

    room = Room(Limits(), measured)
    room.put(100)
    assert room.excess() == 0
    await room.look()
    assert room.excess() == 0


async def test_its_own_limit_holds_from_the_start() -> None:
    async def measured() -> FileSystem:
        return FileSystem(size=1_000_000, free=900_000)

    room = Room(Limits(max_size=1600), measured)
    room.put(2000)
    assert room.excess() == 500, "down to fifteen sixteenths"
