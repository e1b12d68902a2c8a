"""Lists of 250 tags, in the orders of the registries, walked as clients walk: nothing is lost, whoever pages how."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from regproxy.policy.paging import Cursor
from tests.fakes.deeds import Headers, Hold, Status
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Sink
from tests.fakes.tag_orders import ORDERS
from tests.rig import Answer, Rig, get, raw, rig

NAME = "team/app"
PATH = f"/v2/{NAME}/tags/list"
TAGS = [f"v{number}" for number in range(250)]
random.Random(13).shuffle(TAGS)


def _tagged(upstream: FakeRegistry, order: str = "distribution") -> FakeRegistry:
    digest = upstream.add_image(NAME, None, [b"layer"]).digest
    for tag in TAGS:
        upstream.set_tag(NAME, tag, digest)
    upstream.order = ORDERS[order]
    return upstream


@pytest.fixture(params=[*ORDERS, "ignores n and last"])
async def tagged(upstream: FakeRegistry, request: pytest.FixtureRequest) -> FakeRegistry:
    if request.param in ORDERS:
        return _tagged(upstream, request.param)
    _tagged(upstream, "newest first").paginates = False
    return upstream


@pytest.fixture
async def elsewhere() -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink


def _next(answer: Answer) -> str | None:
    link = answer.headers.get("Link")
    return link.removeprefix("<").partition(">")[0] if link is not None else None


def _listed(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return list(json.loads(answer.body)["tags"])


async def _by_link(proxy: Rig, path: str) -> list[str]:
    found: list[str] = []
    following: str | None = path
    while following is not None:
        assert len(found) < 2 * len(TAGS), "it goes on for ever"
        answer = await proxy.ask(following)
        found += _listed(answer)
        following = _next(answer)
    return found


async def _by_last(proxy: Rig, size: int) -> list[str]:
    found: list[str] = []
    while page := _listed(await proxy.ask(f"{PATH}?n={size}" + (f"&last={found[-1]}" if found else ""))):
        assert len(found) < 2 * len(TAGS), "it goes on for ever"
        found += page
    return found


@pytest.mark.parametrize(
    "first",
    ["", "?n=1000", "?n=10000", "?n=100", "?n=7", "?ns=docker.io"],
    ids=["oras, regctl, skopeo", "crane", "n=10000", "n=100", "n=7", "ns"],
)
async def test_n13_10_every_tag_is_listed_in_upstreams_order(tagged: FakeRegistry, proxy: Rig, first: str) -> None:
    """Where upstream makes no pages, and a client wants some, the order is the specification's, by which `last` can be found."""
    is_paged_here = not tagged.paginates and first in {"?n=100", "?n=7"}
    assert await _by_link(proxy, PATH + first) == (sorted(TAGS) if is_paged_here else tagged.order.ordered(TAGS))


@pytest.mark.parametrize("size", [100, 40])
async def test_n13_10_a_client_that_builds_its_own_pages_finds_every_tag(tagged: FakeRegistry, proxy: Rig, size: int) -> None:
    assert await _by_last(proxy, size) == (tagged.order.ordered(TAGS) if tagged.paginates else sorted(TAGS))


async def test_n13_10_a_size_that_upstream_refuses_is_learnt(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream, "ECR")
    for _ in range(2):
        assert len(_listed(await proxy.ask(f"{PATH}?n=10000"))) == 250
    assert [entry.query.get("n") for entry in upstream.ledger] == [["10000"], ["1000"], ["1000"]]


async def test_n13_10_what_is_refused_whatever_its_size_is_refused(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream).misbehave("/tags/", Status(400))
    assert (await proxy.ask(f"{PATH}?n=10000")).status >= 400
    assert upstream.count("GET", "tags") == 4


async def test_n13_10_where_a_link_leads_is_not_upstreams_to_say(upstream: FakeRegistry, proxy: Rig, elsewhere: Sink) -> None:
    _tagged(upstream, "Quay").link_origin = elsewhere.url
    answer = await proxy.ask(PATH)
    assert elsewhere.host not in answer.headers["Link"]
    assert await _by_link(proxy, PATH) == upstream.order.ordered(TAGS)
    assert elsewhere.connections == 0


async def test_n13_10_a_cursor_outlives_a_restart(upstream: FakeRegistry, tmp_path: Path) -> None:
    _tagged(upstream, "ECR")
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        answer = await proxy.ask(PATH)
        found, following = _listed(answer), _next(answer)
    assert following is not None
    async with rig(tmp_path / "another", {"docker.io": upstream.url}) as proxy:
        assert found + await _by_link(proxy, following) == upstream.order.ordered(TAGS)


async def test_n13_10_a_cursor_is_understood_by_every_worker(upstream: FakeRegistry, tmp_path: Path) -> None:
    _tagged(upstream, "Quay")
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=2)
    async with program.running():
        found: list[str] = []
        path: str | None = PATH
        while path is not None:
            answer = await _fresh_connection(program, path)
            found += json.loads(answer[1])["tags"]
            path = answer[0]
    assert found == upstream.order.ordered(TAGS)


async def _fresh_connection(program: Program, path: str) -> tuple[str | None, bytes]:
    head, _, body = (await raw(program.port, get(path))).received.partition(b"\r\n\r\n")
    links = [line for line in head.decode().split("\r\n") if line.startswith("Link: <")]
    return (links[0].removeprefix("Link: <").partition(">")[0] if links else None), body


async def test_n13_10_a_cursor_that_upstream_has_forgotten_is_found_again(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream, "Quay")
    first = await proxy.ask(PATH)
    upstream.misbehave(lambda entry: "next_page" in entry.path, Status(400), times=1)
    following = _next(first)
    assert following is not None
    assert _listed(first) + await _by_link(proxy, following) == upstream.order.ordered(TAGS)


async def test_n13_10_a_tag_that_is_pushed_meanwhile_hides_no_other(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream).paginates = False
    first = await proxy.ask(f"{PATH}?n=100")
    upstream.set_tag(NAME, "a-first", upstream.repositories[NAME].tags["v0"])
    following = _next(first)
    assert following is not None
    assert _listed(first) + await _by_link(proxy, following) == sorted(TAGS)


async def test_n13_10_a_cursor_whose_tag_is_gone_is_an_error_and_no_short_list(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream).paginates = False
    first = await proxy.ask(f"{PATH}?n=100")
    upstream.remove_tag(NAME, _listed(first)[-1])
    following = _next(first)
    assert following is not None
    assert (await proxy.ask(following)).status == 400


_FORGED = [
    Cursor("", "n=5", "v1"),
    Cursor("another host", "n=5", "v1"),
    Cursor("", "", "v1", is_same_page=True),
]
_BAD = ["", "x", "%00", "e30", "W10", "WzEsMiwzLDRd", "[" * 9000, "A" * 9000]


async def test_n13_10_a_cursor_asks_nothing_but_the_same_list(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream)
    mine = parse_qs(urlsplit(_next(await proxy.ask(f"{PATH}?n=5")) or "").query)["cursor"][0]
    host = Cursor.decode(mine).host
    bad_queries = ["../../x?", "a b", "a#b", "n=1\r\nX: y", "\u00e4", "<", "q" * 5000]
    forged = [*(each.encode() for each in _FORGED), *_BAD, *(Cursor(host, query, "v1").encode() for query in bad_queries)]
    forged += [Cursor(host, "ns=other.test&n=1", "v1").encode(), Cursor(host, "n=5", "../x").encode()]
    for cursor in forged:
        assert (await proxy.ask(f"{PATH}?n=5&cursor={cursor}")).status in {200, 400}
    for entry in upstream.ledger:
        assert (entry.kind, entry.repository) == ("tags", NAME)
        assert not {"ns", "cursor"} & entry.query.keys()


async def test_n13_10_a_link_that_leads_to_itself_ends(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream)
    upstream.misbehave("/tags/", Headers({"Link": f'<{PATH}?n=100&last=v1>; rel="next"'}))
    assert "Link" not in (await proxy.ask(f"{PATH}?n=100&last=v1")).headers


async def test_n13_10_an_empty_page_with_a_link_is_not_the_end(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream)
    empty = Status(200, {"Content-Type": "application/json", "Link": f'<{PATH}?n=200>; rel="next"'}, b'{"tags": null}')
    upstream.misbehave("/tags/list?n=100", empty, times=1)
    assert await _by_link(proxy, f"{PATH}?n=100") == sorted(TAGS)


async def test_n13_10_the_whole_list_is_served_when_upstream_is_down(tagged: FakeRegistry, proxy: Rig) -> None:
    expected = await _by_link(proxy, PATH)
    tagged.misbehave("/tags/", Status(503))
    for first in ("", "?n=100", "?n=7"):
        assert await _by_link(proxy, PATH + first) == expected
    assert await _by_last(proxy, 100) == expected
    answer = await proxy.ask(PATH)
    assert (answer.headers["Cache-Status"].split(";")[1], "may be stale" in answer.headers["Warning"]) == (" fwd=stale", True)


@pytest.mark.parametrize("order", ["GHCR", "Quay", "ECR"])
async def test_n13_10_what_was_collected_is_served_when_upstream_is_down_and_says_that_it_is_cut(
    upstream: FakeRegistry, proxy: Rig, order: str
) -> None:
    _tagged(upstream, order)
    first = await proxy.ask(PATH)
    second = await proxy.ask(_next(first) or "")
    upstream.misbehave("/tags/", Status(503))
    expected = _listed(first) + _listed(second)
    answer = await proxy.ask(PATH)
    assert (_listed(answer), "this list is cut" in answer.headers["Warning"], "Link" in answer.headers) == (expected, True, False)
    shorter = await proxy.ask(f"{PATH}?n=150")
    assert (_listed(shorter), "Link" in shorter.headers, "cut" in shorter.headers["Warning"]) == (expected[:150], True, False)
    assert _listed(await proxy.ask(_next(shorter) or "")) == expected[150:]
    assert (await proxy.ask(_next(second) or "")).status == 200
    assert _listed(await proxy.ask(_next(second) or "")) == []


async def test_n13_10_a_walk_goes_on_when_upstream_is_back(upstream: FakeRegistry, proxy: Rig) -> None:
    _tagged(upstream, "ECR")
    await _by_link(proxy, PATH)
    upstream.misbehave("/tags/", Status(503))
    offline = await proxy.ask(f"{PATH}?n=60")
    upstream.behave()
    following = _next(offline)
    assert following is not None
    assert _listed(offline) + await _by_link(proxy, following) == upstream.order.ordered(TAGS)


async def test_n13_10_another_host_goes_on_where_one_has_ended(tmp_path: Path) -> None:
    async with FakeRegistry() as one, FakeRegistry() as two:
        _tagged(one, "ECR")
        _tagged(two, "ECR")
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": one.url}, {"url": two.url}]}}) as proxy:
            first = await proxy.ask(PATH)
            (one if one.ledger else two).misbehave("/tags/", Status(503))
            following = _next(first)
            assert following is not None
            assert _listed(first) + await _by_link(proxy, following) == one.order.ordered(TAGS)


async def test_n12_14_identical_lists_are_asked_for_once(upstream: FakeRegistry, proxy: Rig) -> None:
    held = Hold()
    _tagged(upstream).misbehave(on("GET", "/tags/"), held)
    asking = [asyncio.create_task(proxy.ask(PATH)) for _ in range(2)]
    await held.reached.wait()
    flights = proxy.proxy.handlers.listings._flights
    while sum(len(waiters) for waiters in flights._waiters.values()) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    held.event.set()
    assert {len(_listed(answer)) for answer in await asyncio.gather(*asking)} == {250}
    assert upstream.count("GET", "tags") == 1
