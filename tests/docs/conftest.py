"""A release, built once for all tests of it."""

from pathlib import Path

import pytest

from release.__main__ import build


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder
