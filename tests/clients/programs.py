"""The clients' own programs, which come from Debian's packages."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/bin"])


def program(name: str, package: str) -> Path:
    """Find *name*; without it the test is skipped, or fails where REGPROXY_REQUIRE_CLIENTS=1 wants it run."""
    found = shutil.which(name, path=SEARCHED)
    if not found:
        do_without(f"{name} is missing: apt-get install {package}")
    return Path(found)


def require_root() -> None:
    """Go on as root only: nobody else may mount what a container sees."""
    if os.geteuid() != 0:
        do_without("containers are run here by root only")


def do_without(advice: str) -> NoReturn:
    if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1":
        pytest.fail(advice)
    pytest.skip(advice)
