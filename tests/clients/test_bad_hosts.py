"""What containerd and skopeo notice of bad hosts: nothing.

Each pull goes through a regproxy that has met none of the hosts. REGPROXY_PULLS says how many there are of each kind: 100 of 100 are to
be right. A line for each kind, with `-s`, tells what was measured.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from .bad_hosts import ALONE, IN_FRONT, BadHost, Scene, behind
from .containerd import Containerd, ContainerdPull, write_hosts
from .proxy import NAMED
from .skopeo import Skopeo

PULLS = int(os.environ.get("REGPROXY_PULLS", "1"))
_AT_A_TIME = 4
Puller = Callable[[Path, Scene], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one pull."""

    failure: str  # the client's words; none where it has the right image
    ratio: float
    longest_wait: float
    resets: int


@pytest.fixture(params=["containerd", "skopeo"])
def puller(request: pytest.FixtureRequest) -> Puller:
    if request.param == "skopeo":
        return _pull_by_skopeo
    containerd: Containerd = request.getfixturevalue("containerd")
    return lambda folder, scene: _pull_by_containerd(containerd, folder, scene)


CASES = [
    *(pytest.param(bad, False, id=f"{name}-in-front") for name, bad in IN_FRONT.items()),
    *(pytest.param(bad, True, id=f"{name}-alone") for name, bad in ALONE.items()),
]


@pytest.mark.timeout(120 * PULLS)
@pytest.mark.parametrize(("bad", "alone"), CASES)
def test_images_are_pulled_right_behind_a_bad_host(
    puller: Puller, bad: BadHost, alone: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        outcomes = list(threads.map(lambda _: asyncio.run(_pulled(puller, bad, tmp_path, alone=alone)), range(PULLS)))
    _report(request.node.name, outcomes)
    assert [outcome.failure for outcome in outcomes if outcome.failure] == []
    assert sum(outcome.resets for outcome in outcomes) == 0
    assert max(outcome.ratio for outcome in outcomes) <= (2.1 if bad.corrupt_responses else 1.1)


async def _pulled(puller: Puller, bad: BadHost, root: Path, *, alone: bool) -> Outcome:
    failure = ""
    with TemporaryDirectory(dir=root) as folder:
        async with behind(bad, Path(folder), alone=alone) as scene:
            try:
                await asyncio.to_thread(puller, Path(folder), scene)
            except (RuntimeError, AssertionError) as error:
                failure = str(error)
    return Outcome(failure, scene.ratio, scene.witness.longest_wait, scene.witness.resets)


def _pull_by_skopeo(folder: Path, scene: Scene) -> None:
    skopeo = Skopeo(folder, f"{scene.authority}/{NAMED}")
    skopeo.pull(scene.image)
    skopeo.check(scene.image)


def _pull_by_containerd(containerd: Containerd, folder: Path, scene: Scene) -> None:
    client = ContainerdPull(containerd, write_hosts(folder / "hosts", NAMED, f"http://{scene.authority}"), NAMED)
    client.pull(scene.image)
    client.check_content(scene.image)
    client.remove(scene.image)


def _report(name: str, outcomes: list[Outcome]) -> None:
    right = sum(not outcome.failure for outcome in outcomes)
    ratio, wait = (max(getattr(outcome, what) for outcome in outcomes) for what in ("ratio", "longest_wait"))
    told = f"{right} of {len(outcomes)} right, at most {ratio:.3f} times the bytes, {wait:.1f} s without any"
    sys.stdout.write(f"\n{name}: {told}\n")
