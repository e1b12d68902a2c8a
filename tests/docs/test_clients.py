"""The clients that are said to be tried are: each row names a test that has the client, and the version that is built."""

import re
from typing import NamedTuple

import pytest

from tests.clients.go_programs import MODULES
from tests.kubernetes.programs import VERSION

from .blocks import ROOT

_ROW = re.compile(r"^\| (?P<client>[^|]+?) \| (?P<version>[^|]+?) \| (?P<how>[^|]+?) \| `(?P<test>tests/[^`]+)` \|$", re.MULTILINE)
_BUILT = {program: module.version.removeprefix("v") for module in MODULES for program in module.programs}
_PROGRAM = {"crictl (CRI)": "crictl", "BuildKit": "buildctl"}


class Row(NamedTuple):
    """One client of the table, as it was tried."""

    client: str
    version: str
    how: str
    test: str


ROWS = [Row(**found.groupdict()) for found in _ROW.finditer((ROOT / "docs/clients.md").read_text())]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.client} {row.version}")
def test_n19_05_a_client_that_was_tried_is_in_its_test(row: Row) -> None:
    text = (ROOT / row.test).read_text().lower()
    first = re.split(r"[ -]", row.client)[0].rstrip(",").lower()
    assert first in text or row.how.startswith("what"), "the test does not name the client"
    number = row.version.rpartition(" ")[2]
    if row.client == "Pods (kubelet)":
        assert number == VERSION.removeprefix("v")
    elif row.how.startswith("program") and "Debian" not in row.version:
        assert number == _BUILT[_PROGRAM.get(row.client, row.client)]


def test_n19_05_every_client_that_is_built_is_in_the_table() -> None:
    built = {program for program in _BUILT if program in {"containerd", "crane", "regctl", "oras", "cosign", "helm", "crictl", "buildctl"}}
    assert built <= {_PROGRAM.get(row.client, row.client) for row in ROWS}
