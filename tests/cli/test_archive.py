"""Images out of one store and into another, by way of a tar."""

import asyncio
import gzip
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.storage.blob_files import path_of
from tests.cli.test_store import IMAGES, _name, _running, filled, ran
from tests.fakes.program import Program
from tests.fakes.tars import FOLDER
from tests.free_port import free_port
from tests.rig import metric, rig

__all__ = ["filled"]


@pytest.fixture
def archive(filled: Path) -> Path:
    result = ran(filled, "export", str(filled / "images.tar"), _name("one"), _name("two"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"exported {_name('one')}, {_name('two')} to {filled / 'images.tar'}: ")
    return filled / "images.tar"


async def _served(root: Path) -> dict[str, list[bytes]]:
    """Pull both images from a proxy that has only its store."""
    nobody = {"hosts": [{"url": f"http://127.0.0.1:{free_port()}"}], "tags": [{"policy": "never"}]}
    async with rig(root, {"docker.io": nobody}) as proxy:
        pulled: dict[str, list[bytes]] = {}
        for name, layers in IMAGES.items():
            assert (await proxy.ask(f"/v2/library/{name}/manifests/1?ns=docker.io")).status == 200
            answers = [await proxy.ask(f"/v2/library/{name}/blobs/{Digest.of(layer)}?ns=docker.io") for layer in layers]
            pulled[name] = [answer.body for answer in answers]
        return pulled


def test_what_was_exported_is_served_by_another_store_without_any_upstream(archive: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = ran(elsewhere, "import", str(archive))
    assert (result.exit_code, set(result.stdout.split())) == (0, {"imported", _name("one"), _name("two")})
    assert asyncio.run(_served(elsewhere / "store")) == {name: list(layers) for name, layers in IMAGES.items()}


async def test_a_running_server_exports_and_another_imports(tmp_path: Path) -> None:
    tar, elsewhere = str(tmp_path / "images.tar"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with _running(tmp_path) as full:
        result = await asyncio.to_thread(ran, tmp_path, "export", tar, _name("one"), _name("two"), admin_port=full.admin_port)
        assert result.exit_code == 0, result.output
    async with rig(elsewhere / "store", {"docker.io": f"http://127.0.0.1:{free_port()}"}) as empty:
        result = await asyncio.to_thread(ran, elsewhere, "import", tar, admin_port=empty.admin_port)
        assert (result.exit_code, set(result.stdout.split())) == (0, {"imported", _name("one"), _name("two")}), result.output
        assert list((elsewhere / "store" / "ingest").iterdir()) == []
    assert await _served(elsewhere / "store") == {name: list(layers) for name, layers in IMAGES.items()}


def test_n12_08_an_export_writes_by_way_of_no_link(filled: Path) -> None:
    """Whoever may make files beside the tar must not choose what a root command overwrites."""
    folder, victim = filled / "public", filled / "victim"
    folder.mkdir()
    victim.write_text("precious")
    for name in ("images.tar", "images.tar.unfinished"):
        (folder / name).symlink_to(victim)
    before = os.umask(0o022)
    try:
        result = ran(filled, "export", str(folder / "images.tar"), _name("one"))
    finally:
        os.umask(before)
    assert (result.exit_code, victim.read_text()) == (0, "precious")
    assert ((folder / "images.tar").is_symlink(), (folder / "images.tar").stat().st_mode & 0o777) == (False, 0o644)


async def test_an_export_that_meets_damage_on_the_way_leaves_no_half_a_tar(tmp_path: Path) -> None:
    async with _running(tmp_path) as proxy:
        with path_of(tmp_path / "store", Digest.of(IMAGES["one"][1])).open("r+b") as file:
            file.write(b"no")
        arguments = ("export", str(tmp_path / "images.tar"), _name("one"))
        result = await asyncio.to_thread(ran, tmp_path, *arguments, admin_port=proxy.admin_port)
        assert (result.exit_code, "damaged" in result.stderr) == (1, True)
        assert {path.name for path in tmp_path.iterdir()} == {"store", "store.yaml", "cli.yaml"}  # noqa: ASYNC240
        result = await asyncio.to_thread(ran, tmp_path, *arguments, admin_port=proxy.admin_port)
        assert (result.exit_code, "again" in result.stderr) == (1, True), "it was put aside, and pulled by nobody"


@pytest.mark.parametrize(
    ("body", "answer"),
    [(b"no tar", "no tar"), (bytes(20_000_000), "more than the store may hold"), (b"", "no tar")],
    ids=["something else", "larger than the store", "nothing"],
)
async def test_what_a_running_server_cannot_import_is_refused_in_a_line(tmp_path: Path, body: bytes, answer: str) -> None:
    (tmp_path / "images.tar").write_bytes(body)
    store = {"root": str(tmp_path / "store"), "max_size": "10MiB"}
    async with rig(tmp_path / "store", {"docker.io": f"http://127.0.0.1:{free_port()}"}, store=store) as proxy:
        result = await asyncio.to_thread(ran, tmp_path, "import", str(tmp_path / "images.tar"), admin_port=proxy.admin_port)
        assert (result.exit_code, answer in result.stderr, len(result.stderr.splitlines())) == (1, True, 1), result.output
        assert metric(await proxy.metrics(), "regproxy_store_bytes") == 0


def test_what_two_images_share_is_in_the_tar_once(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    assert {"oci-layout", "index.json"} < set(names)


def test_skopeo_reads_the_tar(archive: Path, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        (pytest.fail if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1" else pytest.skip)("skopeo is not installed")
    source, target = f"oci-archive:{archive}:{_name('one')}", f"dir:{tmp_path / 'copied'}"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", source, target], check=True)
    for layer in IMAGES["one"]:
        assert (tmp_path / "copied" / Digest.of(layer).hex).read_bytes() == layer


def test_a_wrong_blob_is_not_imported(archive: Path, tmp_path: Path) -> None:
    layer = IMAGES["one"][1]
    (tmp_path / "wrong.tar").write_bytes(archive.read_bytes().replace(layer[:1000], bytes(1000)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = ran(elsewhere, "import", str(tmp_path / "wrong.tar"))
    assert result.exit_code == 1
    assert "expected" in result.stderr
    assert not path_of(elsewhere / "store", Digest.of(layer)).exists()


@pytest.mark.parametrize("kind", ["members", "zeros"])
async def test_n12_17_a_megabyte_of_gzip_costs_a_server_little_memory(tmp_path: Path, kind: str) -> None:
    """It had 2.1 GB for the members of one that has a million of them, and as much disk as it liked for zeros."""
    size = 32_000_000
    (tmp_path / "bomb.tar").write_bytes(gzip.compress(FOLDER * (size // 512) if kind == "members" else bytes(size), 1))
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": f"http://127.0.0.1:{free_port()}"}]}}, workers=1)
    program.configure(store={"root": str(tmp_path / "store"), "max_size": "20MiB" if kind == "zeros" else "100MiB"})
    async with program.running():
        assert program.process is not None
        before = peak(program.process.pid)
        result = await asyncio.to_thread(ran, tmp_path, "import", str(tmp_path / "bomb.tar"), admin_port=program.admin_port)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
        assert ("larger than what the store has room for" if kind == "zeros" else "more than 50000 members") in result.stderr
        assert peak(program.process.pid) - before < 30_000_000
        assert await program.metric("regproxy_store_bytes") == 0


def peak(process: int) -> int:
    """Tell how many bytes of memory a process has had at most."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
