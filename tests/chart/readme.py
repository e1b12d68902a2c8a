"""The table of values in the chart's README, from values.yaml and its comments: `python -m tests.chart.readme` writes it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from .chart import CHART

_BEGIN = "<!-- values: made by `python -m tests.chart.readme`, from values.yaml -->\n"
_END = "<!-- end of values -->\n"
_LONGEST_DEFAULT = 60


class Value(NamedTuple):
    """A value of the chart: its place with dots, its default as JSON, and the comment above it."""

    place: str
    default: str
    comment: str


def values() -> list[Value]:
    """Read values.yaml in its order: a mapping with keys is its keys."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    return list(_values(yaml.compose("\n".join(lines)), lines, ""))


def with_table(readme: str) -> str:
    """Return *readme* with the table as it should be."""
    head, _, rest = readme.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    rows = [f"| `{value.place}` | {value.default} | {value.comment} |" for value in values()]
    return "\n".join([f"{head}{_BEGIN}", "| value | default | |", "|---|---|---|", *rows, "", f"{_END}{tail}"])


def _values(node: Any, lines: list[str], prefix: str) -> Iterator[Value]:  # noqa: ANN401  PyYAML has no types for it
    for key, value in node.value:
        place = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            if comment := _comment(lines, key.start_mark.line):
                yield Value(place, "", comment)
            yield from _values(value, lines, f"{place}.")
        else:
            default = json.dumps(yaml.safe_load(yaml.serialize(value)))
            shown = f"`{default}`" if len(default) <= _LONGEST_DEFAULT else "see values.yaml"
            yield Value(place, shown, _comment(lines, key.start_mark.line))


def _comment(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip("# "))
    return " ".join(found).replace("|", "\\|")


if __name__ == "__main__":
    path = CHART / "README.md"
    path.write_text(with_table(path.read_text()))
