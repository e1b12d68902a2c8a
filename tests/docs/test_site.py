"""The documentation as a whole: it builds, its links lead somewhere, and what it names exists."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clients.programs import do_without

from .blocks import PAGES, ROOT

_PATH = re.compile(r"`((?:regproxy|tests|docs|config|deploy|bench)/[\w./-]+)`")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """A link to a page, a heading or a file that is not there is a warning."""
    if find_spec("sphinx") is None:
        do_without("sphinx is missing: make docs installs it")
    options = ["--builder", "dummy", "--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs"]
    build = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (build.returncode, build.stderr) == (0, "")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_readme_is_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.zh-CN.md"], ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    """At most 25 words on average, tables, headings and code aside."""
    prose = re.sub(r"^```.*?^```$|^[|#:<].*?$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    counts = [len(sentence.split()) for sentence in re.split(r"(?<=[.:;!?])\s+|\n\n|\n- |\n\d+\. ", prose)]
    counts = [count for count in counts if count > 2]
    assert sum(counts) <= 25 * len(counts)
