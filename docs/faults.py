"""Fill the last column of docs/faults.md: the test modules that defend each row.

`python -m docs.faults` writes it; `tests/docs/test_faults.py` fails where a row has no test or names a wrong module, or a test has no row.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "faults.md"

_ID = r"(?:n\d\d(?:_\d\d)?|[bcdpsu]\d{1,2})"
_TEST = re.compile(rf"def test_((?:{_ID}_)+)")
_ROW = re.compile(rf"^\| `({_ID})` \| ([^|]*) \| ([^|]*) \|(.*)\|$", re.MULTILINE)


def modules() -> Mapping[str, list[str]]:
    """Map each id to the modules that have a test of it."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for names in _TEST.findall(path.read_text()):
            for name in re.findall(_ID, names):
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return {name: sorted(paths) for name, paths in found.items()}


def rows(text: str) -> list[str]:
    """List the ids of the page's rows."""
    return [row[0] for row in _ROW.findall(text)]


def named_modules(text: str) -> Mapping[str, list[str]]:
    """Map each id to the modules that its row names."""
    return {row[0]: re.findall(r"`(.*?)`", row[3]) for row in _ROW.findall(text)}


def filled(text: str) -> str:
    """Write the last column of every row anew."""
    known = modules()
    return _ROW.sub(lambda row: f"| `{row[1]}` | {row[2]} | {row[3]} | {', '.join(f'`{path}`' for path in known.get(row[1], []))} |", text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
