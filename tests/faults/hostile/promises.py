"""What is promised of the program as a whole: it lives, stays small, logs no fault of its own, and asks no more than it may."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from regproxy.policy.upstream import tokens
from tests.fakes.program import Program
from tests.faults.hostile.requests import VAIN
from tests.faults.hostile.run import Run
from tests.faults.hostile.world import FRESH_FOR, World

MIB = 1024 * 1024
_MOST_MEMORY = 300  # MiB of any one process; at rest it has 75
_LOOK = 0.5  # seconds
_REQUESTS = 2  # that one question takes at most: HEAD and GET, or the referrers API and the tag that stands in for it
_FULL = "the store takes nothing: pulls go on from upstream"
_OURS = (
    "this is a bug",
    "internal error",
    "Traceback",
    "Task exception",
    "was never retrieved",
    "was destroyed",
    "a worker died",
    "is stuck",
)


async def watched(run: Run, program: Program) -> None:
    """Look at the processes until the run is over: they stay the same, and small."""
    assert program.process is not None
    workers = program.workers()
    while not run.is_over:
        await asyncio.sleep(_LOOK)
        if program.workers() != workers:
            run.found("a worker died", f"{workers} are now {program.workers()}")
            workers = program.workers()
        for pid in (program.process.pid, *workers):
            who = "a worker" if pid in workers else "the supervisor"
            size = resident(pid) // MIB
            run.done[f"MiB of {who}"] = max(run.done[f"MiB of {who}"], size)
            if size > _MOST_MEMORY:
                run.found("a process grew too large", f"{who} has {size} MiB")


def check_log(run: Run, program: Program) -> None:
    """Report lines that tell of faults of our own."""
    for line in program.log().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            run.found("a line of the log is no record", line[:300])
            continue
        if record["message"] == _FULL and record["reason"].startswith("no space for"):
            continue  # where clients write faster than this machine evicts, pulls go on without the store
        is_ours = record["level"] in {"error", "critical"} or any(text in line for text in _OURS)
        if is_ours:
            run.found("the log tells of a fault of ours", f"{line[:500]} ... {line[-1500:]}")  # where it began, and what it was


def check_questions(run: Run, world: World, evicted: float) -> None:
    """Report questions that upstream should not have been asked; what was *evicted*, in bytes, may have been fetched again."""
    for name, registry in world.registries.items():
        blobs: Counter[tuple[str, str]] = Counter()
        tags: Counter[tuple[str, str]] = Counter()
        scopes: Counter[str] = Counter()
        for asked, count in registry.asked.items():
            if asked.kind == "blobs" and asked.method == "GET" and asked.status == 200 and not asked.is_part:
                blobs[asked.repository, asked.reference] += count
            elif asked.kind == "manifests" and asked.status == 200:
                tags[asked.repository, asked.reference] += count
            elif asked.kind == "token" and asked.status == 200:
                scopes[asked.reference] += count
        for blob, count in blobs.items():
            again = (count - 1) * world.sizes[blob[1]]
            if count > 1 and again > evicted:
                run.found("a blob was fetched more than once", f"{count} times {name} {blob}, and {evicted:.0f} bytes were evicted")
            evicted -= again
        most = 2 + run.elapsed / FRESH_FOR  # the first time it takes a HEAD and a GET
        for tag, count in tags.items():
            if count > most:
                run.found("a manifest was asked for more often than promised", f"{count} times {name} {tag}")
        for scope, count in scopes.items():
            if count > 1 + run.elapsed / tokens.issued("", registry.token_lifetime, 0.0, 0.0).renew_at:
                run.found("a token was asked for more often than promised", f"{count} times {name} {scope}")


def check_vain_questions(run: Run, world: World, clients: int, allowance: Mapping[str, int]) -> None:
    """Report more questions for what upstream does not have than *clients* of all workers together are allowed."""
    asked = sum(count for asked, count in world.registries["open.test"].asked.items() if asked.repository.startswith(VAIN))
    run.done["vain questions upstream"] = asked
    if asked > (most := _REQUESTS * clients * (allowance["burst"] + allowance["per_second"] * run.elapsed)):
        run.found("upstream was asked in vain more often than promised", f"{asked} times, at most {most:.0f}")


def resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
