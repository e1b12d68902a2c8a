"""What has to be reached, row by row: `python -m bench.goals [--quick] [--only hits kill] [--keep]`; in twelve minutes on a quiet machine.

Each row measures what its goal is about, beside what the goal compares with, and in turns with it. `--keep` writes what was found into
bench/results/goals.json and goals.md, where other rows stay as they were.
"""

import argparse
import asyncio
import json
import time
import traceback
from collections.abc import Mapping, Sequence

import pytest

from bench.figures import Figure
from bench.goal_rows import ROWS
from bench.machine import described
from bench.peers import RESULTS
from bench.tables import markdown

_KEPT = RESULTS / "goals.json"
_HEAD = ("", "goal", "measured", "reached")


def table(found: Mapping[str, Sequence[Figure]]) -> str:
    """Write the figures of all rows that were measured, in the order of `ROWS`."""
    lines = [[each.what, each.goal, each.measured, "yes" if each.is_reached else "no"] for name in ROWS for each in found.get(name, ())]
    return markdown(_HEAD, lines)


async def measured(names: Sequence[str], *, is_quick: bool) -> dict[str, Sequence[Figure]]:
    """Measure some rows one after the other; one whose programs are missing says so and is left out."""
    found: dict[str, Sequence[Figure]] = {}
    for name in names:
        began = time.monotonic()
        print(f"\n{name}", flush=True)
        try:
            found[name] = await ROWS[name](is_quick=is_quick)
        except pytest.skip.Exception as missing:
            print(f"left out: {missing}", flush=True)
            continue
        except Exception:  # the other rows are measured all the same
            traceback.print_exc()
            continue
        print(f"{table({name: found[name]})}\n{time.monotonic() - began:.0f} s", flush=True)
    return found


def _keep(found: Mapping[str, Sequence[Figure]]) -> None:
    kept = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
    kept |= {name: [each.document() for each in figures] for name, figures in found.items()}
    _KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    all_of_them = {name: [Figure(**each) for each in kept[name]] for name in kept}
    (RESULTS / "goals.md").write_text(f"# Goals, and what is reached\n\n{described()}\n\n{table(all_of_them)}\n")


def main() -> None:
    """Parse the arguments, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--keep", action="store_true", help="keep what was found in bench/results")
    arguments = parser.parse_args()
    found = asyncio.run(measured(arguments.only, is_quick=arguments.quick))
    print(f"\n{table(found)}")
    if arguments.keep:
        _keep(found)


if __name__ == "__main__":
    main()
