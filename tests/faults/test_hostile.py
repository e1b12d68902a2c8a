"""Clients that do anything, beside clients that behave, in front of upstreams that refuse us some of what they have.

What must hold whatever they do: no byte of a private repository for anybody, no permitted pull that fails, no worker that dies, no process
that grows without a bound, no more questions to upstream than promised. REGPROXY_HOSTILE_SECONDS=3600 runs an hour; a failure names its
seed, and REGPROXY_HOSTILE_SEED cache what the clients choose.
"""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.program import Program
from tests.faults.hostile import promises
from tests.faults.hostile.connections import Connection, judge
from tests.faults.hostile.pulls import Puller
from tests.faults.hostile.requests import Grammar, Request
from tests.faults.hostile.run import Run, seconds_of_a_run, seed_of_a_run
from tests.faults.hostile.world import FRESH_FOR, World, world
from tests.rig import PATIENT

_HOSTILE = 12  # clients at once
_PULLERS = 4
_RACERS = 3
_FLOODS = 2
_IMAGES = 12  # to begin with
_ALLOWANCE = {"per_second": 1, "burst": 30}  # of each address: those of the floods have spent it soon, the others hardly ever do

pytestmark = pytest.mark.timeout(seconds_of_a_run() + 180)


@pytest.mark.parametrize("workers", [1, 2])
async def test_hostile_clients_get_nothing_private_and_hurt_nobody(tmp_path: Path, workers: int) -> None:
    run = Run(seed_of_a_run(), seconds_of_a_run() / 2)
    async with world(run, _IMAGES) as made:
        program = _program(tmp_path, made, workers)
        async with program.running():
            hostile = [_attack(run, made, program.port, run.random(f"hostile {number}")) for number in range(_HOSTILE)]
            pullers = [_pull(run, made, program.port, number) for number in range(_PULLERS)]
            racers = [_race(run, made, program.port, number) for number in range(_RACERS)]
            floods = [_flood(run, made, program.port, number) for number in range(_FLOODS)]
            await run.act([*hostile, *pullers, *racers, *floods, promises.watched(run, program)])
            promises.check_questions(run, made, await program.metric("regproxy_evicted_bytes_total"))
            promises.check_vain_questions(run, made, _FLOODS * workers, _ALLOWANCE)
        promises.check_log(run, program)
    assert run.done["images pulled"] > 0
    run.check()


def _program(root: Path, made: World, workers: int) -> Program:
    return Program(
        root,
        made.document(),
        workers=workers,
        default_upstream="open.test",
        store={"root": str(root / "store"), "max_size": "2GiB"},
        timeouts=PATIENT,  # upstream is well, and this machine may be slow
        not_found_limit=_ALLOWANCE,
        reconfirm_after=f"{FRESH_FOR}s",
        log_level="warning",
    )


async def _attack(run: Run, made: World, port: int, chance: random.Random) -> None:
    grammar = Grammar(made, chance)
    while not run.is_over:
        is_stranger = chance.random() < 0.6
        count = chance.choice((1, 1, 1, 2, 5, 30))
        requests = [grammar.refused(chance.choice(made.images)) if is_stranger else grammar.any() for _ in range(count)]
        received = await Connection(port, chance).ask(requests)
        judge(run, requests, received)
        run.done["hostile connections"] += 1
        run.done["of them answered"] += bool(received)


async def _pull(run: Run, made: World, port: int, number: int) -> None:
    chance = run.random(f"puller {number}")
    puller = Puller(run, port, Grammar(made, chance), chance, f"127.0.2.{number + 1}")
    while not run.is_over:
        await puller.pull(chance.choice(made.images[-100:]))


async def _race(run: Run, made: World, port: int, number: int) -> None:
    """Pull what nobody has pulled yet, while others ask for the same of repositories that refuse it."""
    chance = run.random(f"racer {number}")
    grammar = Grammar(made, chance)
    puller = Puller(run, port, grammar, chance, f"127.0.3.{number + 1}")
    while not run.is_over:
        image = made.grow()
        strangers = [_late(run, port, chance, [grammar.refused(image)]) for _ in range(chance.randint(1, 8))]
        await asyncio.gather(puller.pull(image), *strangers)
        run.done["races"] += 1


async def _flood(run: Run, made: World, port: int, number: int) -> None:
    """Ask for as much as possible that nobody has."""
    chance = run.random(f"flood {number}")
    grammar, count = Grammar(made, chance), number
    while not run.is_over:
        requests = []
        for _ in range(chance.choice((1, 20, 50))):
            count += _FLOODS
            requests.append(grammar.vain(count))
        judge(run, requests, await Connection(port, chance, f"127.0.4.{number + 1}").ask(requests))
        run.done["vain requests"] += len(requests)


async def _late(run: Run, port: int, chance: random.Random, requests: Sequence[Request]) -> None:
    await asyncio.sleep(chance.uniform(0, chance.choice((0.0, 0.0005, 0.003, 0.01))))
    judge(run, requests, await Connection(port, chance).ask(requests))
