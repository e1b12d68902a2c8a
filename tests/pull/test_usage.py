"""Uses on their way to the ledger."""

from collections.abc import Collection, Mapping
from typing import cast

from regproxy.oci.digest import Digest
from regproxy.ports import Ledger, StoreError
from regproxy.pull.usage import Usage

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


class Uses:
    """The part of a ledger that is asked."""

    def __init__(self) -> None:
        self.touched: list[tuple[set[Digest], set[Digest], float]] = []
        self.pulls: list[dict[Digest, int]] = []
        self.error: StoreError | None = None

    async def touch(self, manifests: Collection[Digest], blobs: Collection[Digest], now: float) -> None:
        if self.error is not None:
            raise self.error
        self.touched.append((set(manifests), set(blobs), now))

    async def count_pulls(self, pulls: Mapping[Digest, int]) -> None:
        self.pulls.append(dict(pulls))


async def test_many_uses_are_one_record() -> None:
    uses = Uses()
    usage = Usage(cast("Ledger", uses), lambda: 5.0)
    await usage.record()
    for _ in range(100):
        usage.of_manifest(ONE)
        usage.of_blob(OTHER)
    await usage.record()
    await usage.record()
    assert uses.touched == [({ONE}, {OTHER}, 5.0)]
    assert uses.pulls == [{ONE: 100}]


async def test_a_disk_that_takes_no_record_costs_the_record_alone() -> None:
    uses = Uses()
    uses.error = StoreError("full")
    usage = Usage(cast("Ledger", uses), lambda: 5.0)
    usage.of_blob(ONE)
    await usage.record()
    uses.error = None
    usage.of_blob(OTHER)
    await usage.record()
    assert uses.touched == [(set(), {OTHER}, 5.0)]
