"""requirements/*.txt: what the image, the build and the tests install, to the byte."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .blocks import ROOT

FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OUT_OF_DATE = "write the pins anew: make lock"


class Pin(NamedTuple):
    """A package at a version, with the hashes of its files."""

    version: str
    hashes: frozenset[str]


def pins(name: str) -> dict[str, list[Pin]]:
    """Return what requirements/*name*.txt pins, by package: more than one version where they differ by Python or platform."""
    found: dict[str, list[Pin]] = {}
    for entry in re.sub(r" *\\\n +", " ", (FOLDER / f"{name}.txt").read_text()).splitlines():
        if entry and not entry.lstrip().startswith("#"):
            package, _, version = entry.split()[0].partition("==")
            found.setdefault(canonicalize_name(package), []).append(
                Pin(version, frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)))
            )
    return found


def wanted(name: str) -> Iterator[Requirement]:
    groups: dict[str, list[Any]] = PROJECT["dependency-groups"]
    project = [
        *PROJECT["project"]["dependencies"],
        *(each for extra in PROJECT["project"].get("optional-dependencies", {}).values() for each in extra),
    ]
    lists = {
        "run": project,
        "dev": [*project, *groups["dev"], *groups["docs"], *groups["build"]],
        "build": groups["build"],
        "clients": groups["clients"],
    }
    yield from (Requirement(each) for each in lists[name] if isinstance(each, str))


FILES = ("run", "dev", "build", "clients")


@pytest.mark.parametrize("name", FILES)
def test_n15_08_every_requirement_is_pinned_within_its_range(name: str) -> None:
    pinned = pins(name)
    for requirement in wanted(name):
        versions = [pin.version for pin in pinned.get(canonicalize_name(requirement.name), [])]
        assert versions, f"{requirement.name} has no pin: {OUT_OF_DATE}"
        assert [each for each in versions if each not in requirement.specifier] == [], f"{requirement}: {OUT_OF_DATE}"


@pytest.mark.parametrize("name", FILES)
def test_n15_08_every_pin_has_a_version_and_hashes(name: str) -> None:
    assert [package for package, found in pins(name).items() if not all(pin.version and pin.hashes for pin in found)] == []


def test_n15_08_the_tests_run_with_what_the_image_has() -> None:
    tested = pins("dev")
    assert {package: found for package, found in pins("run").items() if tested.get(package) != found} == {}, OUT_OF_DATE


def test_n15_08_the_build_is_pinned_too() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(PROJECT["dependency-groups"]["build"])


def test_n15_08_image_and_make_install_only_what_is_pinned() -> None:
    for name in ("Dockerfile", "Makefile"):
        for line in (ROOT / name).read_text().splitlines():
            if not line.startswith("#") and ("pip install" in line or re.search(r"pip --python \S+ install", line)):
                pinned = ("--require-hashes", "--no-deps", "--group lock", "--group bench")
                assert any(option in line for option in pinned), f"{name}: {line.strip()}"


def test_n15_08_images_are_named_by_digest() -> None:
    [base] = re.findall(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    used = re.findall(r"\$\{(?:BASE|REDIS|PROMETHEUS|NGINX|S3)_IMAGE:-([^}]+)\}", (ROOT / "docker-compose.yml").read_text())
    assert len(used) == 5
    assert base in used
    assert [image for image in used if not re.search(r"@sha256:[0-9a-f]{64}$", image)] == []
