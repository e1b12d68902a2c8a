"""The tables and plots of what `python -m bench` found: `python -m bench.report`, after `pip install --group bench`."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from bench.access import MARK, Pair, costs
from bench.hits import Hit, medians
from bench.machine import described
from bench.misses import Miss
from bench.misses import medians as miss_medians
from bench.peers import RESULTS
from bench.pulls import Pull, ratios
from bench.tables import markdown
from bench.warm import Slowdown, WarmUp

Found: TypeAlias = Mapping[str, Sequence[dict[str, Any]]]

_ABOUT = """regproxy runs as it comes: a worker per core, metrics, an access line for every request. nginx serves plain files, knows no
registry and writes no log: it is the mark. The caches that a user might run instead are set up as their documents say (bench/caches.py);
nginx proxy_cache has the settings of rpardini/docker-registry-proxy; neither it nor Varnish gets tokens or verifies digests. All peers
stand before one docker-registry. Everything, clients included, shares one machine,
so ratios tell more than figures; what is told is the median of several rounds, in which the peers took turns. A rate of 0.0 means that none
was done within a round of two seconds."""


def main() -> None:
    """Write bench.md and its plots."""
    from bench import plots  # noqa: PLC0415  matplotlib, which a quick run does without

    found = json.loads((RESULTS / "bench.json").read_text())
    (RESULTS / "bench.md").write_text(page(found))
    plots.write(found)


def page(found: Found) -> str:
    """Write all tables."""
    parts = [
        _hits(found["hits"]),
        *([access_table(found["access"])] if "access" in found else []),
        _misses(found["misses"]),
        _herds(found["herds"]),
        *([pulls_table(found["pulls"])] if "pulls" in found else []),
        _slow(found["slow"]),
        *([warm_table(found["warm"])] if "warm" in found else []),
    ]
    return "\n\n".join([f"# regproxy beside its peers\n\n{_ABOUT}\n\n{described()}", *parts]) + "\n"


def _hits(rows: Sequence[dict[str, Any]]) -> str:
    best = medians([Hit(**row) for row in rows])
    cases, peers = list(dict.fromkeys(case for case, _ in best)), list(dict.fromkeys(peer for _, peer in best))
    rates = _table("requests per second", cases, peers, lambda case, peer: _number(best[case, peer].rate))
    marks = _table(
        "times nginx",
        cases,
        peers,
        lambda case, peer: f"{best[case, peer].rate / best[case, 'nginx'].rate:.2f}",
    )
    cpu = _table("us of processor time per request", cases, peers, lambda case, peer: _number(best[case, peer].cpu))
    gigabyte = _table(
        "seconds of processor time per GB",
        [case for case in cases if "blob" in case],
        peers,
        lambda case, peer: f"{best[case, peer].cpu / 1e6 * best[case, peer].rate / max(1.0, best[case, peer].bytes_rate) * 1e9:.2f}",
    )
    return "\n\n".join(["## Hits", rates, marks, cpu, gigabyte])


def access_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["", "set-up", "CPU over the mark's", "interval", "rate over the mark's", "interval", "us of CPU", "pairs"]
    found = [
        [
            case,
            name,
            f"{cost.cpu.median:.3f}",
            f"{cost.cpu.low:.3f} to {cost.cpu.high:.3f}",
            f"{cost.rate.median:.3f}",
            f"{cost.rate.low:.3f} to {cost.rate.high:.3f}",
            _number(cost.microseconds),
            cost.cpu.pairs,
        ]
        for (case, name), cost in costs([Pair(**row) for row in rows]).items()
    ]
    about = f"Mark: {MARK}. In pairs of turns; the median of their ratios, and the interval in which the true one lies with 95 %."
    return f"## Hits where regproxy asks who wants them, or is a member of a fleet\n\n{about}\n\n{markdown(head, found)}"


def _misses(rows: Sequence[dict[str, Any]]) -> str:
    best = miss_medians([Miss(**row) for row in rows])
    sizes, peers = list(dict.fromkeys(size for size, _ in best)), list(dict.fromkeys(peer for _, peer in best))
    names = {f"{size} MB": size for size in sizes}
    first = _table("ms to the first byte", names, peers, lambda name, peer: f"{1000 * best[names[name], peer][0]:.1f}")
    total = _table("ms to the last byte", names, peers, lambda name, peer: f"{1000 * best[names[name], peer][1]:.1f}")
    return "\n\n".join(["## Cold blobs, `direct` being the registry itself", first, total])


def _herds(rows: Sequence[dict[str, Any]]) -> str:
    head = ["clients", "peer", "right", "upstream sent", "first byte p50, s", "p99, s", "slowest, s", "largest process, MiB"]
    lines = [
        [
            f"{row['clients']:,}",
            row["peer"],
            row["right"],
            f"{row['upstream']:.2f}x",
            *(f"{row[key]:.2f}" for key in _TIMES),
            f"{row['memory']:.0f}",
        ]
        for row in rows
    ]
    return f"## Herds on one cold blob of {rows[0]['megabytes']} MB\n\n{markdown(head, lines)}"


_TIMES = ("first_median", "first_p99", "slowest")


def _slow(rows: Sequence[dict[str, Any]]) -> str:
    head = ["peer", "before", "early", "late", "clients served all the while"]
    lines = [[row["peer"], *(f"{row[key]:.0f}" for key in ("before", "early", "late")), f"{row['served']:,}"] for row in rows]
    title = f"## Memory for {rows[0]['clients']:,} clients that read 20 kB/s for {rows[0]['seconds']:.0f} s, MiB of all processes"
    return f"{title}\n\n{markdown(head, lines)}"


def warm_table(rows: Sequence[dict[str, Any]]) -> str:
    head = [
        "images",
        "MB",
        "seconds",
        "upstream sent",
        "pulls",
        "refused",
        "p99 of hits, ms",
        "during it, ms",
        "ratio",
        "interval",
        "killed",
    ]
    found = [WarmUp(**{**row, "pairs": tuple(Slowdown(**pair) for pair in row["pairs"])}) for row in rows]
    lines = [
        [
            row.images,
            f"{row.megabytes:.0f}",
            f"{row.seconds:.1f}",
            f"{row.bytes_ratio:.2f}x",
            row.pulls,
            row.refused,
            *(f"{p99:.2f}" for p99 in row.p99()),
            f"{row.slowdown.median:.2f}",
            f"{row.slowdown.low:.2f} to {row.slowdown.high:.2f}",
            f"{row.resumed_bytes_ratio:.2f}x",
        ]
        for row in found
    ]
    about = (
        "From a registry that counts pulls. The last column is what upstream sent where the warm-up was killed in the middle and resumed."
    )
    return f"## A warm-up while clients pull\n\n{about}\n\n{markdown(head, lines)}"


def pulls_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["layers", "cold over direct", "hot over direct", "direct, s", "upstream sent"]
    pulls = [Pull(**row) for row in rows]
    lines = [
        [how, f"{cold.median:.2f}", f"{hot.median:.2f}", f"{_direct(pulls, how):.1f}", f"{factor:.3f}x"]
        for how, (cold, hot, factor) in ratios(pulls).items()
    ]
    about = "500 MB in 12 layers: seconds from the pull to the output of a container of it."
    return f"## An image by containerd 2\n\n{about}\n\n{markdown(head, lines)}"


def _direct(pulls: Sequence[Pull], how: str) -> float:
    return statistics.median(pull.direct for pull in pulls if pull.how == how)


def _table(what: str, names: Sequence[str] | Mapping[str, int], peers: Sequence[str], cell: Callable[[str, str], str]) -> str:
    def told(name: str, peer: str) -> str:
        try:
            return cell(name, peer)
        except (KeyError, ZeroDivisionError):  # not every peer does everything, or a large blob within its round
            return ""

    return markdown([what, *peers], [[name, *(told(name, peer) for peer in peers)] for name in names])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


if __name__ == "__main__":
    main()
