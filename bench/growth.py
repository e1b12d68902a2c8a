"""How costs grow: `python -m bench.growth [--quick] [--only clients] [--again]`.

Sizes that bench/results/growth.json has are not measured again, so that what was interrupted goes on; `--again` measures all that is asked
for anew. Then bench/results/growth.md, with plots, slopes, and what 10,000 nodes would cost on paper.
"""

import argparse
import asyncio
import json
import traceback
from collections.abc import Sequence

from bench import growth_report
from bench.growth_report import Grown
from bench.growth_series import SERIES
from bench.peers import RESULTS

_KEPT = RESULTS / "growth.json"


async def measured(names: Sequence[str], known: Grown, *, is_quick: bool) -> Grown:
    """Measure the sizes that are not *known* yet, and return these too; keep each at once unless it is a quick run."""
    found = {name: dict(points) for name, points in known.items()}
    for name in names:
        series = SERIES[name]
        points = found.setdefault(name, {})
        for size in series.quick if is_quick else series.sizes:
            if size in points:
                continue
            try:
                points[size] = await series.measure(size)
            except Exception:  # the other sizes are measured all the same
                traceback.print_exc()
                continue
            print(f"{name} {size:,}: {', '.join(f'{cost:.4g} {what}' for what, cost in points[size].items())}", flush=True)
            if not is_quick:
                _KEPT.write_text(json.dumps(found, indent=1) + "\n")
    return found


def kept() -> Grown:
    """Read what was measured before."""
    found = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
    return {name: {int(size): point for size, point in points.items()} for name, points in found.items()}


def main() -> None:
    """Parse the arguments, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few sizes, all small; kept nowhere")
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES), metavar="SERIES", help=f"of {', '.join(SERIES)}")
    parser.add_argument("--again", action="store_true", help="measure also what is known")
    arguments = parser.parse_args()
    known: Grown = {} if arguments.quick else kept()
    if arguments.again:
        known = {name: points for name, points in known.items() if name not in arguments.only}
    found = asyncio.run(measured(arguments.only, known, is_quick=arguments.quick))
    if arguments.quick:
        print(f"\n{growth_report.page(found)}")
    else:
        growth_report.write(found)


if __name__ == "__main__":
    main()
