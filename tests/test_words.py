"""The project's words are the field's: old ones of its own do not grow back in code, settings, logs, pages or tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("regproxy", "tests", "bench", "config", "deploy", "docs", "README.md", "README.zh-CN.md", "CONTRIBUTING.md")
KINDS = {".py", ".md", ".yaml", ".yml", ".json", ".html", ".toml", ".service"}
NOT_HERE = {Path(__file__), ROOT / "docs" / "faults.md"}  # faults.md tells what hosts do, which is to lie

WORDS = {
    r"Lying|\bshel(f|ves)\b|Shel(f|ves)\b": "StoredBlob, shard, blob files",
    r"\baccuse\b|\babsolve\b|\bconvict\b|\bWard\b|is_from_a_stranger": "report_corrupt, report_verified, identify_corrupt, is_untrusted",
    r"\bCrew\b|\bcrew\b|\b_House\b|\b_broom\b": "WorkerPool, maintenance",
    r"\bDesk\b|\bMachine\b": "SupervisorServer, SupervisorClient",
    r"\bTogether\b|\bAlone\b|\b_?Turns\b": "SharedFleet, NullFleet, locks",
    r"VainQuestions|web[./]vain": "NotFoundLimiter",
    r"\b_?PATIENCE\b|\bPatience\b": "timeout, ClientTimeouts",
    r"\bNews\b": "Notifier",
    r"\bRepeats\b|\bVouches\b": "ResponseCache, ClientCheck",
    r"\bStretch\b|\bSegment\b|\bDemand\b|\bNeighbourhood\b|\bOverwhelmed\b": "PieceDownload, ReceivedRange, TokenRequest, ...",
    r"\b[Ss]tocktaking\b|\b[Ss]weeper\b|\b[Uu]pkeep\b|\bHoldings\b": "reconciler, evictor, jobs, Inventory",
    r"\"trickle\": |timeouts\.trickle|^ *trickle:|\bleast_rate\b|\bown_volume\b|\bcold_ranges\b": "slow_for, min_rate, ...",
    r"regproxy_upstream_lies|upstream_rest_seconds|\brests_for\b": "corrupt_responses, backoff_seconds",
    r"fill broke|not fit to serve|counted anew|not ours, left alone|asked for too much": "the phrases that people search for",
    r"loop stood still|gone on with`|read along so far": "event loop lag, downloads resumed, requests shared a download",
}

RENAMED = re.compile(r"\s*(renamed: ClassVar|_RENAMED) = ")  # what a refusal of an old setting names


def _pages() -> list[Path]:
    found = [ROOT / place for place in PLACES]
    files = [each for place in found for each in (place.rglob("*") if place.is_dir() else [place])]
    return [each for each in files if each.is_file() and each.suffix in KINDS and each not in NOT_HERE and "results" not in each.parts]


@pytest.mark.parametrize(("pattern", "instead"), WORDS.items(), ids=list(WORDS.values()))
def test_old_words_do_not_come_back(pattern: str, instead: str) -> None:
    old = re.compile(pattern)
    found = [
        f"{page.relative_to(ROOT)}:{number}: {match.group()!r}, say {instead}"
        for page in _pages()
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if (match := old.search(line)) and not RENAMED.match(line)
    ]
    assert not found, "\n".join(found)


def test_the_old_words_are_looked_for_everywhere() -> None:
    kinds = {page.suffix for page in _pages()}
    assert {".py", ".md", ".yaml", ".json", ".html"} <= kinds
