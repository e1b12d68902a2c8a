"""What the index keeps of the answers to lists."""

import itertools
import random
from pathlib import Path

from regproxy.index.sqlite import SqliteIndex


async def test_n12_14_listings_take_no_more_of_the_disk_than_they_may(tmp_path: Path) -> None:
    times = itertools.count(1.0)
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: next(times), listing_bytes=100_000)
    try:
        bodies = {f"tags {number}": random.Random(number).randbytes(20_000) for number in range(20)}
        for key, body in bodies.items():
            await index.put_listing(key, body)
        found = [key for key, body in bodies.items() if await index.listing(key) == body]
        assert found == list(bodies)[-4:]
        await index.put_listing("tags large", random.Random(0).randbytes(60_000))
        assert await index.listing("tags large") is None
        await index.put_listing("tags dense", b'"tag",' * 100_000)
        assert await index.listing("tags dense") == b'"tag",' * 100_000
        assert await index.listing("tags 19") == bodies["tags 19"]
    finally:
        await index.close()
