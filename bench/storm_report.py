"""The table and the plot of what bench.storm kept: `python -m bench.storm_report`, after `pip install --group bench`."""

import json
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.machine import described
from bench.peers import RESULTS

_COLUMNS = {
    "token requests": "tokens",
    "401s": "unauthorized",
    "manifest HEADs": "manifest_heads",
    "manifest GETs": "manifest_gets",
    "blob GETs": "blob_gets",
    "failed pulls": "failures",
    "seconds": "seconds",
}
_COLORS = {"regproxy": "#0b6e4f", "docker-registry": "#c8553d", "drayage": "#e0a030"}


def main() -> None:
    """Write storm.md, storm.png and storm.svg; of several measurements of the same the last one counts."""
    rows = [json.loads(line) for line in (RESULTS / "storm.jsonl").read_text().splitlines()]
    latest = list({(row["peer"], row["nodes"], row["images"]): row for row in rows}.values())
    latest.sort(key=lambda row: (row["nodes"], row["tokens"]))
    (RESULTS / "storm.md").write_text(_page(latest))
    fewest = min(row["nodes"] for row in latest)
    _plot([row for row in latest if row["nodes"] == fewest])


def _page(rows: list[dict[str, Any]]) -> str:
    head = ["peer", "nodes x images", *_COLUMNS]
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * len(_COLUMNS)}"]
    for row in rows:
        cells = [row["peer"], f"{row['nodes']:,} x {row['images']}", *(_told(row[key]) for key in _COLUMNS.values())]
        lines.append(f"| {' | '.join(cells)} |")
    about = (
        "What upstream was asked when all nodes pulled private images at once, cold, each a manifest, a config and three layers of 100 kB, "
        "from a token service that takes 0.5 s. Upstream, the peer and all nodes share one machine, so seconds tell of the machine as much "
        "as of the peer."
    )
    table = "\n".join(lines)
    return f"# 3,000 nodes restart\n\n{about}\n\n{table}\n\n{described()}\n\n{_HOW}\n"


_HOW = (
    "Made by `python -m bench.storm --keep` with `--peer` and `--nodes`, then `python -m bench.storm_report`; drayage 0.2.9, "
    "docker-registry 2.8.2 of Debian. regproxy's and drayage's requests are the same at every run but for a few 401s and blobs. "
    "docker-registry's are not: with other work on the machine it made 4,217 token requests and 3,155 for manifests, and failed 2 pulls. "
    "The 3,000 nodes had such company too."
)


def _told(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def _plot(rows: list[dict[str, Any]]) -> None:
    mpl.rcParams.update({"font.size": 11, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "storm"})
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.9), layout=ConstrainedLayoutEngine(wspace=0.08))
    measures = [
        ("token requests upstream", [row["tokens"] for row in rows]),
        ("manifest requests upstream", [row["manifest_heads"] + row["manifest_gets"] for row in rows]),
        ("seconds until the last pull is done", [row["seconds"] for row in rows]),
    ]
    peers = [row["peer"] for row in rows]
    for axis, (title, values) in zip(axes, measures, strict=True):
        bars = axis.barh(peers, values, color=[_COLORS[peer] for peer in peers], height=0.62)
        axis.bar_label(bars, [_told(value) for value in values], padding=4, fontweight="bold")
        axis.set_xscale("log")
        axis.set_xlim(1, max(values) * 6)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.minorticks_off()
        axis.set_title(title, fontsize=11, loc="left")
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    nodes, images = rows[0]["nodes"], rows[0]["images"]
    figure.suptitle(f"{nodes:,} nodes restart, each pulls {images} private images (log scale)", fontweight="bold", x=0.01, ha="left")
    figure.savefig(RESULTS / "storm.png", dpi=160)
    figure.savefig(RESULTS / "storm.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
