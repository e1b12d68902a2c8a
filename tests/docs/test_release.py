"""What `make dist` makes: complete, in agreement with itself, and the same bytes each time."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version as installed_version
from pathlib import Path

import aiohttp
import pytest
import yaml

from docs.commands import MAN
from release.archives import repack
from release.project import epoch, version
from tests.chart.chart import KUBERNETES
from tests.clients.go_programs import go_program
from tests.free_port import free_port
from tests.rig import LOOPBACK

from .blocks import ROOT
from .test_requirements import pins

CHART = ROOT / "deploy" / "helm" / "regproxy" / "Chart.yaml"


def test_n15_08_program_chart_and_changelog_have_the_version_of_the_project() -> None:
    chart = yaml.safe_load(CHART.read_text())
    [newest, *_] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {
        "program": installed_version("regproxy"),
        "chart": chart["version"],
        "application": chart["appVersion"],
        "changelog": newest,
    } == dict.fromkeys(("program", "chart", "application", "changelog"), version())


def test_n15_08_a_release_is_complete_and_its_checksums_are_right(released: Path) -> None:
    assert sorted(path.name for path in released.iterdir()) == [
        "SHA256SUMS",
        f"regproxy-{version()}-py3-none-any.whl",
        f"regproxy-{version()}.cdx.json",
        f"regproxy-{version()}.tar.gz",
        f"regproxy-{version()}.tgz",
    ]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=released, check=True)


def test_n15_08_the_wheel_of_the_sdist_is_the_wheel_of_the_sources(released: Path, tmp_path: Path) -> None:
    """To the byte, from files of another time: whoever builds the sources can compare."""
    (tmp_path / "source").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "config", "deploy", "regproxy"):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tmp_path / "source" / name, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copyfile(ROOT / name, tmp_path / "source" / name)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
    ]
    subprocess.run([*command, tmp_path / "source"], check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch())})
    [one, other] = [next(folder.glob("*.whl")).read_bytes() for folder in (released, tmp_path)]
    assert hashlib.sha256(one).hexdigest() == hashlib.sha256(other).hexdigest()


def test_n15_08_archives_forget_who_packed_them_and_when(released: Path, tmp_path: Path) -> None:
    packed = tmp_path / "again.tar.gz"
    with tarfile.open(released / f"regproxy-{version()}.tar.gz") as found, tarfile.open(packed, "w:gz") as again:
        for member in reversed(found.getmembers()):
            content = found.extractfile(member)
            member.mtime, member.uid, member.uname = 1, 1000, "somebody"
            again.addfile(member, content)
    repack(packed, epoch())
    assert packed.read_bytes() == (released / f"regproxy-{version()}.tar.gz").read_bytes()


def test_n15_08_helm_takes_the_packed_chart(released: Path) -> None:
    command: list[str | Path] = [go_program("helm"), "show", "chart", released / f"regproxy-{version()}.tgz"]
    shown = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (shown["name"], shown["version"]) == ("regproxy", version())
    [*command, chart] = command
    rendered = subprocess.run(
        [command[0], "template", chart, f"--kube-version={KUBERNETES}", "--set", "image.repository=registry.example/regproxy"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"registry.example/regproxy:{version()}" in rendered.stdout


def test_n15_08_the_bill_of_materials_names_what_the_image_installs(released: Path) -> None:
    bill = json.loads((released / f"regproxy-{version()}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["version"]) == ("CycloneDX", "1.6", version())
    components = {each["name"]: each for each in bill["components"]}
    assert {"aiohttp", "cryptography", "typer"} <= set(components)
    assert "colorama" not in components, "is for Windows only"
    for name, each in components.items():
        assert each["purl"] == f"pkg:pypi/{name}@{each['version']}"
        assert each["externalReferences"][0]["hashes"]


async def test_n15_08_pipx_serves_from_the_wheel(released: Path, tmp_path: Path) -> None:
    """In an environment of its own, with the wheel and what it asks for at the versions of the image."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{name}=={found[0].version}\n" for name, found in pins("run").items() if len(found) == 1))
    port = free_port()
    env = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{free_port()}",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIP_CONSTRAINT": str(constraints),
        "REGPROXY__LISTEN": f"{LOOPBACK}:{port}",
        "REGPROXY__ADMIN_LISTEN": f"{LOOPBACK}:{free_port()}",
        "REGPROXY__STORE__ROOT": str(tmp_path / "store"),
        "REGPROXY__WORKERS": "1",
    }
    wheel = released / f"regproxy-{version()}-py3-none-any.whl"
    command = [sys.executable, "-m", "pipx", "run", "--spec", str(wheel), "regproxy", "serve"]
    log = tmp_path / "program.log"
    with log.open("wb") as output:
        program = await asyncio.create_subprocess_exec(*command, env=env, stdout=output)
    try:
        async with aiohttp.ClientSession() as session:
            while program.returncode is None:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://{LOOPBACK}:{port}/v2/") as response:
                        assert response.status == 200
                        break
                await asyncio.sleep(0.05)
    finally:
        if program.returncode is None:
            program.terminate()
    assert await program.wait() == 0
    assert "tracing is off: OpenTelemetry is not installed" in log.read_text(), "the extra is none of what the wheel needs"
    assert next((tmp_path / "pipx").rglob("share/man/man1/regproxy.1")).read_bytes() == MAN.read_bytes()


@pytest.mark.parametrize("has_buildx", [True, False], ids=["with buildx", "without"])
def test_n15_08_the_image_is_made_for_every_platform_that_docker_can(has_buildx: bool, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$1 $2" != "buildx version" ] || exit {0 if has_buildx else 1}\necho "$@" >>{calls}\n')
    (tmp_path / "docker").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "BUILD_CA": "-----BEGIN\nCERTIFICATE-----"}
    made = tmp_path / "dist"
    subprocess.run([sys.executable, "-m", "release.image", made, "--build-arg=BASE_IMAGE=base"], cwd=ROOT, env=env, check=True)
    archive = made / f"regproxy-{version()}-image.tar"
    build, *others = calls.read_text().splitlines()
    for word in (
        f"--label=org.opencontainers.image.version={version()}",
        f"--tag=regproxy:{version()}",
        "--build-arg=BASE_IMAGE=base",
        "--build-arg=BUILD_CA",
    ):
        assert word in build.split()
    if has_buildx:
        assert {"--platform=linux/amd64,linux/arm64", f"--output=type=oci,dest={archive},rewrite-timestamp=true"} <= set(build.split())
    else:
        assert others == [f"save --output {archive} regproxy:{version()}"]
    assert (made / "SHA256SUMS").exists()
