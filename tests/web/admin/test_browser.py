"""The admin page in Debian's Chromium: what it shows and does for people who look, who listen, and who use a keyboard alone."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.telemetry import metrics
from tests.behind_kit import behind
from tests.clients.browser import ENTER, ESCAPE, TAB, Browser, browser
from tests.fakes.bucket import FakeBucket
from tests.fakes.fleet import fleet
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

from .page_store import HOSTILE, filled, stalled

# The contrast of each visible text to the nearest opaque background above it (WCAG 2.2, 1.4.3); those below what a reader needs.
_PALE = """
const parts = color => color.match(/[\\d.]+/g).map(Number);
const linear = each => (each /= 255) <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4;
const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
const behind = each => {
  for (; each; each = each.parentElement) {
    const found = parts(getComputedStyle(each).backgroundColor);
    if (found.length < 4 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const contrast = each => {
  const style = getComputedStyle(each), drawn = each.namespaceURI.endsWith("svg") ? style.fill : style.color;
  const [a, b] = [light(parts(drawn)), light(behind(each))];
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
};
const hasText = each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
return [...document.querySelectorAll("body *")].filter(each => each.checkVisibility() && hasText(each) && contrast(each) < 4.5)
  .map(each => [contrast(each), each.textContent.slice(0, 40)]);
"""
_UNNAMED = """
return [...document.querySelectorAll("button, input, select, table, svg[role=img], section, nav, dialog")]
  .filter(each => !(each.getAttribute("aria-label") || each.textContent.trim() && each.matches("button") || each.closest("label")
    || (document.getElementById(each.getAttribute("aria-labelledby")) || {}).textContent) && !each.closest("details"))
  .map(each => each.outerHTML.slice(0, 80));
"""


def focused(label: str) -> str:
    return f"document.activeElement.getAttribute('aria-label') === '{label}'"


async def tab_to(page: Browser, label: str) -> None:
    """Press Tab until the focus is on what is called *label*; where the page is drawn again meanwhile, it begins anew."""
    for _ in range(200):
        if await page.run(f"return {focused(label)}"):
            return
        await page.press(TAB)
    pytest.fail(f"Tab never reaches {label}")


async def search(page: Browser, text: str, count: int) -> None:
    """Type into the search, and wait for so many rows."""
    await page.run("const field = document.getElementById('search'); field.focus(); field.select()")
    await page.press(text)
    await page.until(f"document.getElementById('found').textContent.startsWith('{count} ')")


async def is_pinned(proxy: Rig, tag: str) -> bool:
    _, document = await proxy.admin(f"store/page?search={tag}")
    return bool(document["images"][0]["is_pinned"])


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


@pytest.fixture
async def page(tmp_path: Path, proxy: Rig, upstream: FakeRegistry) -> AsyncIterator[Browser]:
    await filled(proxy, upstream)
    proxy.history.take()
    async with browser(tmp_path / "profile") as running:
        await running.look(1280)
        await running.ask("url", {"url": f"http://{LOOPBACK}:{proxy.admin_port}/"})
        await running.until("document.querySelectorAll('#images tbody tr').length === 25 && document.querySelector('#charts polyline')")
        yield running


async def test_n15_14_the_admin_page_in_a_browser(page: Browser, proxy: Rig, upstream: FakeRegistry) -> None:
    """One browser for all of it: starting one takes longer than what is asked of it."""
    await _charts_have_axes_and_units(page)
    assert await page.run("return [...document.querySelectorAll('section[hidden]')].map(each => each.id)") == ["fleet", "object-store"]
    assert (
        await page.run("return [...document.querySelectorAll('[hidden]')].filter(each => each.checkVisibility()).map(each => each.id)")
        == []
    )
    assert await page.run("return document.getElementById('sign-in').hidden"), "there are no tokens"
    await _every_part_has_a_name_and_enough_contrast_and_fits(page)
    await _a_download_is_shown_with_its_followers(page, proxy, upstream)
    await _the_table_searches_and_shows_hostile_text_as_text(page)
    await _a_pin_is_made_and_undone_by_keyboard_alone(page, proxy)
    await _remove_asks_first(page, proxy)
    assert await page.complaints() == []


async def _charts_have_axes_and_units(page: Browser) -> None:
    charts = await page.run(
        "return [...document.querySelectorAll('#charts figure')].map(each => [each.querySelector('h3').textContent,"
        "[...each.querySelectorAll('text.y')].map(tick => tick.textContent), each.querySelectorAll('text.x').length,"
        "each.querySelectorAll('line.axis').length, each.querySelector('svg').getAttribute('aria-label')])"
    )
    units = {"Requests by outcome, requests/s": "requests/s", "Traffic, B/s": "B/s", "Hit ratio, %": "%", "Content in the store, B": "B"}
    assert [title for title, *_ in charts] == list(units)
    for title, ticks, times, axes, label in charts:
        assert len(ticks) == 5
        assert all(tick.endswith(units[title]) for tick in ticks), ticks
        assert times >= 2
        assert axes >= 2
        assert label.startswith(title)
        assert "members" not in label, "there is no fleet"


async def _every_part_has_a_name_and_enough_contrast_and_fits(page: Browser) -> None:
    assert await page.run(_UNNAMED) == []
    for scheme in ("light", "dark"):
        for width in (360, 1280, 3840):
            await page.look(width, scheme=scheme)
            assert await page.run("return document.documentElement.scrollWidth - innerWidth") <= 0, f"{width} px are too few"
        assert await page.run(_PALE) == []
    background = "return getComputedStyle(document.body).backgroundColor"
    dark = await page.run(background)
    await page.look(1280)
    assert await page.run(background) != dark


async def _a_download_is_shown_with_its_followers(page: Browser, proxy: Rig, upstream: FakeRegistry) -> None:
    path, stall = stalled(upstream)
    asking = [asyncio.create_task(proxy.ask(path)) for _ in range(2)]
    try:
        shown = await page.until(
            "[...document.querySelectorAll('#downloads tbody tr')].map(each => each.textContent).find(each => /\\(50 %\\)/.test(each))"
        )
        assert "library/app" in shown
        assert "B/s2" in shown
    finally:
        stall.event.set()
    await asyncio.gather(*asking)
    await proxy.settled()


async def _the_table_searches_and_shows_hostile_text_as_text(page: Browser) -> None:
    await search(page, "TEAM/nothing", 0)
    await search(page, "team/tool:hostile", 1)
    assert HOSTILE[:40] in await page.run("return document.getElementById('images').textContent")
    assert await page.run("return document.querySelectorAll('img').length") == 0


async def _a_pin_is_made_and_undone_by_keyboard_alone(page: Browser, proxy: Rig) -> None:
    name = "docker.io/library/app:1.7"
    await search(page, "app:1.7", 1)
    await tab_to(page, f"Pin {name}")
    await page.press(ENTER)
    await page.until(focused(f"Unpin {name}"))
    assert "is pinned" in await page.run("return document.getElementById('said').textContent")
    assert await is_pinned(proxy, "app:1.7")
    await tab_to(page, f"Remove {name}")
    await page.press(ENTER)
    await page.until("document.getElementById('said').textContent === 'It is pinned: unpin it first.'")
    await page.run("document.querySelector('#images button').focus()")
    await tab_to(page, f"Unpin {name}")
    await page.press(ENTER)
    await page.until(focused(f"Pin {name}"))
    assert not await is_pinned(proxy, "app:1.7")


async def _remove_asks_first(page: Browser, proxy: Rig) -> None:
    name = "docker.io/library/app:1.7"
    await tab_to(page, f"Remove {name}")
    await page.press(ENTER)
    await page.until("document.getElementById('confirm').open")
    assert name in await page.run("return document.getElementById('confirm-text').textContent")
    assert await page.run("return document.activeElement.value") == "cancel"
    await page.press(ESCAPE)
    await page.until("document.getElementById('said').textContent.endsWith('was kept.')")
    assert (await proxy.admin("store/page?search=app:1.7"))[1]["found"] == 1
    await page.until(focused(f"Remove {name}"))
    await page.press(ENTER)
    await page.until("document.getElementById('confirm').open")
    await page.press(TAB + ENTER)
    await page.until("document.getElementById('said').textContent.includes('was removed')")
    await page.until("document.getElementById('found').textContent.startsWith('0 ')")
    assert (await proxy.admin("store/page?search=app:1.7"))[1]["found"] == 0


async def test_n17_10_the_page_shows_who_is_in_the_fleet_and_what_waits_for_the_object_store(
    tmp_path: Path, upstream: FakeRegistry
) -> None:
    blob = os.urandom(3_000_000)
    path = f"/v2/library/app/blobs/{upstream.add_blob('library/app', blob)}"
    dead = [f"http://dead-{number}.test:5000" for number in range(60)]
    async with (
        FakeBucket() as bucket,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=dead, store=behind(bucket.url)) as rigs,
        browser(tmp_path / "profile") as page,
    ):
        assert {(await each.ask(path)).status for each in rigs} == {200}
        await page.look(1280)
        await page.ask("url", {"url": f"http://{LOOPBACK}:{rigs[0].admin_port}/"})
        await page.until("/unreachable/.test(document.getElementById('fleet-state').textContent)")
        rows = await page.run("return [...document.querySelectorAll('#members tbody tr')].map(each => each.textContent)")
        assert len(rows) == 50
        assert rows[0].startswith(f"{LOOPBACK}:{rigs[0].port} this onehealthy")
        assert sum(row.startswith("dead-") for row in rows) >= 48, "who is not healthy comes first"
        assert await page.run("return document.getElementById('fleet-state').className") == "bad"
        assert await page.run("return document.getElementById('more-members').textContent") == "and 12 more, which are not worse"
        await _what_members_sent_is_drawn_apart(page, rigs[0])
        await page.until("/^s3:..bucket.regproxy; .* wait to be written/.test(document.getElementById('behind-waits').textContent)")
        await _every_part_has_a_name_and_enough_contrast_and_fits(page)
        bucket.refuse = True
        assert (await rigs[0].ask(f"/v2/library/app/blobs/{upstream.add_blob('library/app', b'more')}")).status == 200
        await page.until("document.getElementById('behind-state').textContent.startsWith('takes nothing: ')")
        assert await page.complaints() == []


async def _what_members_sent_is_drawn_apart(page: Browser, member: Rig) -> None:
    metrics.FLEET_BYTES.labels("received").inc(3_000_000)  # where so many are dead, those who live may ask upstream for all
    for _ in range(2):
        member.history.take()
    label = "document.querySelector('#charts figure:nth-child(2) svg').getAttribute('aria-label')"
    await page.until(f"/; now: sent to clients .*, received from upstream .*, received from members .* B.s$/.test({label})")
    _, history = await member.admin("history?range=recent")
    received = history["series"]["fleet_bytes"][-1]
    assert received > 0
    tile = "`from upstream, ${scaled(arguments[0], 'B')} from members`"
    await page.until(f"document.getElementById('tiles').textContent.includes({tile})", received)


async def test_n16_04_whoever_has_a_token_signs_in_on_the_page(tmp_path: Path, upstream: FakeRegistry) -> None:
    token = "canary-0123456789abcdef"
    upstream.add_image("library/app", "1", [b"layer"])
    async with (
        rig(tmp_path / "store", {"docker.io": upstream.url}, admin_tokens={"grafana": {"token": token}}) as proxy,
        browser(tmp_path / "profile") as page,
    ):
        assert (await proxy.ask("/v2/library/app/manifests/1")).status == 200
        await page.devtools("Network.enable")
        await page.devtools("Network.setExtraHTTPHeaders", headers={"X-Forwarded-For": "192.0.2.1"})
        await page.ask("url", {"url": f"http://{LOOPBACK}:{proxy.admin_port}/"})
        await page.until("document.getElementById('token').checkVisibility() && !document.querySelector('main').checkVisibility()")
        await page.run("document.getElementById('token').focus()")
        await page.press(f"wrong{ENTER}")
        await page.until("document.getElementById('state').textContent.includes('none of admin_tokens')")
        await page.run("document.getElementById('token').select()")
        await page.press(f"{token}{ENTER}")
        await page.until("document.querySelectorAll('#images tbody tr').length === 1")
        assert await page.run("return document.cookie") == ""
        assert await page.run("return document.getElementById('read-only').textContent.includes('role read')")
        await page.run("document.getElementById('sign-out').click()")
        await page.until("!document.getElementById('sign-in').hidden && document.querySelector('main').hidden")
