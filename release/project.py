"""The version, which pyproject.toml has, and the files that a release is made of."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DIST: Final = ROOT / "dist"


def version() -> str:
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["version"]


def epoch() -> int:
    """Return the time that every file of a release carries: SOURCE_DATE_EPOCH, or when the last commit was made."""
    named = os.environ.get("SOURCE_DATE_EPOCH")
    return int(named or _git("log", "-1", "--format=%ct"))


def revision() -> str:
    return _git("rev-parse", "HEAD").strip()


def copy_sources(to: Path) -> None:
    """Copy what Git tracks, or would: nothing that an earlier build left reaches a release."""
    for name in filter(None, _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
            (to / name).chmod(0o755 if (to / name).stat().st_mode & 0o100 else 0o644)  # whatever the umask of the clone was


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
