"""The page of `bench.growth`: tables and plots on logarithmic axes, slopes, and what 10,000 nodes would cost on paper."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bench.growth_series import SERIES, Point
from bench.machine import described
from bench.peers import RESULTS
from bench.slopes import Line
from bench.tables import markdown

NODES = 10_000
_GIGABIT = 125e6  # bytes per second
_LAYERS, _LAYER = 12, 40e6  # of an image on paper, and bytes of each
_MEASURED = 16e6  # bytes of the blob of the series clients

Grown: TypeAlias = Mapping[str, Mapping[int, Point]]
"""Points by series and size."""

_ABOUT = f"""One regproxy with a worker per core; everything, clients and upstream included, shares one machine. A slope is the power by
which a cost grows: 0 not at all, 1 in proportion, 2 as the square; that of the largest three sizes says where it is heading. The last
column goes on along it to ten times the largest size (to {NODES:,} where that is clients)."""


def write(found: Grown) -> None:
    """Write growth.md and its plots."""
    from bench import plots  # noqa: PLC0415  matplotlib, which a quick run does without

    (RESULTS / "growth.md").write_text(page(found))
    for name, points in found.items():
        plots.growth(name, SERIES[name].title, SERIES[name].unit, points)


def page(found: Grown) -> str:
    """Write all tables, in the order of `SERIES`."""
    parts = [_part(name, found[name]) for name in SERIES if found.get(name)]
    return "\n\n".join([f"# How costs grow\n\n{_ABOUT}\n\n{described()}", *parts, paper(found)]) + "\n"


def costs(points: Mapping[int, Point]) -> dict[str, list[tuple[float, float]]]:
    """Turn points by size into sizes and costs by figure."""
    by_figure: dict[str, list[tuple[float, float]]] = {}
    for size in sorted(points):
        for figure, cost in points[size].items():
            by_figure.setdefault(figure, []).append((size, cost))
    return by_figure


def _part(name: str, points: Mapping[int, Point]) -> str:
    series, sizes = SERIES[name], sorted(points)
    beyond = NODES if name == "clients" else 10 * sizes[-1]
    head = [series.unit, *(f"{size:,}" for size in sizes), "slope", "at the end", f"at {beyond:,}"]
    lines = []
    for figure, measured in costs(points).items():
        known = {size: f"{cost:.3g}" for size, cost in measured}
        end = heading(measured)
        slopes = [f"{Line.through(measured).slope:.2f}", f"{end.slope:.2f}", f"{end.at(beyond):,.3g}"] if end else ["", "", ""]
        lines.append([figure, *(known.get(size, "") for size in sizes), *slopes])
    return f"## {series.title}\n\n{markdown(head, lines)}\n\n![{series.title}](growth-{name}.png)"


def paper(found: Grown) -> str:
    """Say what a mass restart of `NODES` nodes would cost, from what was measured and how it grows."""
    size = _LAYERS * _LAYER
    requests, sent, line = NODES * (_LAYERS + 2), NODES * size, 25 * _GIGABIT
    minutes = sent / line / 60
    lines = [
        f"All of them pull one cold image of {_LAYERS} layers of {_LAYER / 1e6:.0f} MB at once:",
        "",
        f"- Upstream sends {size / 1e9:.2f} GB once for each cluster cache, and answers one question for the tag.",
        f"- {requests:,} requests are answered, and {sent / 1e12:.1f} TB leave the cache: {minutes:.0f} min by 25 Gbit/s.",
        "- Node caches that pass pieces on to each other take that from it ([simulated](swarm.md)).",
    ]
    if (spent := _heading(found, "clients", "s of CPU")) and (memory := _heading(found, "clients", "MiB of the largest process")):
        minutes, most = spent.at(NODES) * size / _MEASURED / 60, memory.at(NODES)
        lines.append(
            f"- One replica on this machine's cores takes {minutes:,.0f} min of CPU for it; its largest process has {most:,.0f} MiB."
        )
    if hot := _heading(found, "layers", "seconds hot"):
        more = (hot.at(61) - hot.at(60)) * 1000
        lines.append(f"- A layer of 1 MB more costs one client {more:.1f} ms more, of which most is its bytes.")
    if ready := _heading(found, "stores", "seconds until it serves"):
        lines.append(f"- Nodes do not make the store larger, images do: with ten million blobs it serves after {ready.at(1e7):.1f} s.")
    if memory := _heading(found, "upstreams", "MiB of all processes, idle"):
        lines.append(f"- A thousand upstreams take {memory.at(1000):,.0f} MiB.")
    return "\n".join([f"## {NODES:,} nodes, on paper", "", *lines])


def _heading(found: Grown, name: str, figure: str) -> Line | None:
    return heading(costs(found.get(name, {})).get(figure, []))


def heading(measured: Sequence[tuple[float, float]]) -> Line | None:
    """Return the line that the largest sizes are on; None where there are too few."""
    try:
        return Line.at_the_end(measured)
    except ValueError:
        return None
