"""The totals that triggers keep."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regproxy.index.sqlite import SqliteIndex
from regproxy.policy.store.eviction import OCCASION, Shares
from tests.index.books import BLOCK, Books, digest


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "use", "forget"]), st.integers(1, 20_000)), max_size=30))
async def test_the_totals_are_what_a_count_would_find(tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, int]]) -> None:
    index = await SqliteIndex.open(tmp_path_factory.mktemp("books") / "index.db", lambda: 0.0)
    books = Books(index, index.ledger())
    for name, act, size in acts:
        match act:
            case "put":
                await books.put(name, size=size)
            case "use":
                await books.use(name, at=2 * OCCASION)
            case _:
                await books.ledger.forget(digest(name))
    found = {often: await books.ledger.idlest(100, often=often) for often in (False, True)}
    once, many = (sum(-(-candidate.size // BLOCK) * BLOCK for candidate in found[often]) for often in (False, True))
    census = await books.ledger.census()
    assert (census.count, census.shares) == (len(found[False]) + len(found[True]), Shares(once, many))
    await index.close()
