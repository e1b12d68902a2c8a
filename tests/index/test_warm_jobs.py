"""Warm-ups in the file of operators' decisions."""

from pathlib import Path

from regproxy.index.sqlite import SqliteIndex


async def test_n18_02_jobs_outlive_a_restart_and_the_loss_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = await SqliteIndex.open(path)
    jobs = index.warm_jobs()
    for number, document in ((2, "two"), (10, "ten"), (1, "one"), (2, "two, later")):
        await jobs.put(number, document)
    await jobs.drop(1)
    await jobs.drop(7)
    await index.close()
    path.write_bytes(b"damaged" * 1000)
    index = await SqliteIndex.open(path)
    assert await index.warm_jobs().all() == [(2, "two, later"), (10, "ten")]
    await index.close()
