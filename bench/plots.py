"""Plots of what `python -m bench` found."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.growth_report import costs, heading
from bench.hits import Hit, medians
from bench.peers import RESULTS

COLORS = {
    "regproxy": "#0b6e4f",
    "docker-registry": "#c8553d",
    "distribution-3": "#8c2f39",
    "drayage": "#e0a030",
    "nginx-proxy_cache": "#3d6fc8",
    "varnish": "#7a4fa3",
    "nginx": "#8a8a8a",
}


def write(found: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    mpl.rcParams.update({"font.size": 11, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "bench"})
    _hits(found["hits"])
    _herds(found["herds"])


def _hits(rows: Sequence[dict[str, Any]]) -> None:
    best = medians([Hit(**row) for row in rows])
    cases = list(dict.fromkeys(case for case, _ in best if not case.endswith("TLS")))
    peers = [peer for peer in COLORS if any(peer == found for _, found in best)]
    figure, axes = plt.subplots(1, len(cases), figsize=(13, 3.6), layout="constrained")
    for axis, case in zip(axes, cases, strict=True):
        values = [best[case, peer].rate for peer in peers]
        bars = axis.barh(peers, values, color=[COLORS[peer] for peer in peers], height=0.62)
        axis.bar_label(bars, [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values], padding=4, fontweight="bold")
        axis.set_xlim(0, max(values) * 1.45)
        axis.set_title(case, fontsize=11, loc="left")
        axis.invert_yaxis()
        axis.set_xticks([])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        if axis is not axes[0]:
            axis.set_yticklabels([])
    figure.suptitle("Hits per second; nginx serves plain files and writes no log", fontweight="bold", x=0.01, ha="left")
    _save(figure, "hits")


def _herds(rows: Sequence[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    measures = {"upstream": "upstream sent, times the blob", "slowest": "seconds until the last is done", "memory": "largest process, MiB"}
    for axis, (key, title) in zip(axes, measures.items(), strict=True):
        for peer in dict.fromkeys(row["peer"] for row in rows):
            mine = [row for row in rows if row["peer"] == peer]
            axis.plot([row["clients"] for row in mine], [row[key] for row in mine], marker="o", color=COLORS[peer], label=peer)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("clients at once")
        axis.set_title(title, fontsize=11, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#dddddd", linewidth=0.6)
    axes[0].legend(frameon=False)
    figure.suptitle(f"A herd on one cold blob of {rows[0]['megabytes']} MB", fontweight="bold", x=0.01, ha="left")
    _save(figure, "herds")


def growth(name: str, title: str, unit: str, points: Mapping[int, Mapping[str, float]]) -> None:
    """Plot each figure of a series over its sizes, and the line that its largest sizes are on."""
    figures = costs(points)
    figure, axes = plt.subplots(1, len(figures), figsize=(4 * len(figures), 3.2), layout="constrained", squeeze=False)
    for axis, (what, measured) in zip(axes[0], figures.items(), strict=True):
        sizes = [size for size, _ in measured]
        axis.plot(sizes, [cost for _, cost in measured], marker="o", color=COLORS["regproxy"])
        if line := heading(measured):
            axis.plot(sizes[-3:], [line.at(size) for size in sizes[-3:]], "--", color=COLORS["nginx"], label=f"slope {line.slope:.2f}")
            axis.legend(frameon=False)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(unit)
        axis.set_title(what, fontsize=11, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#dddddd", linewidth=0.6)
    figure.suptitle(title, fontweight="bold", x=0.01, ha="left")
    _save(figure, f"growth-{name}")


def soak(looks: Sequence[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
    measures = {"memory, MiB": ("memory", "eldest"), "descriptors": ("descriptors",), "tasks": ("tasks",)}
    for axis, (title, names) in zip(axes, measures.items(), strict=True):
        for name, style in zip(names, ("-", "--"), strict=False):
            axis.plot([look["seconds"] / 60 for look in looks], [look[name] for look in looks], style, color=COLORS["regproxy"])
        axis.set_title(title, fontsize=11, loc="left")
        axis.set_ylim(0)
        axis.set_xlabel("minutes")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("All processes under mixed load; dashed: one worker that lives through it", fontweight="bold", x=0.01, ha="left")
    _save(figure, "soak")


def _save(figure: Any, name: str) -> None:  # noqa: ANN401  matplotlib's
    figure.savefig(RESULTS / f"{name}.png", dpi=160)
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
