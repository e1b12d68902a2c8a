"""Images out of one store and into another, by way of a tar."""

import asyncio
import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regproxy.maintenance.archive import CHUNK, Unreadable, decompressed
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.layout import blob_path, image_of, written
from regproxy.oci.manifest import OCI_INDEX, OCI_MANIFEST
from regproxy.storage.blob_files import path_of
from tests.cli.test_store import BASE, IMAGES, _name, _running, answered, filled, ran
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import free_port, metric, rig

__all__ = ["filled"]

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


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


@pytest.mark.parametrize(
    ("asked", "exported"),
    [
        (["app:1"], {"1"}),
        (["docker.io/library/app:1"], {"1"}),
        (["app:1", "app:latest"], {"1", "latest"}),
        (["DIGEST"], {"1", "latest"}),
    ],
    ids=lambda names: " ".join(sorted(names)),
)
async def test_an_export_names_only_what_was_asked_for(tmp_path: Path, asked: list[str], exported: set[str]) -> None:
    """Another tag of the same image would be moved in the store that imports it."""
    tar = tmp_path / "images.tar"
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        manifest = upstream.add_image("library/app", "1", [BASE])
        assert upstream.add_image("library/app", "latest", [BASE]) == manifest
        answers = [await proxy.ask(f"/v2/library/app/manifests/{tag}?ns=docker.io") for tag in ("1", "latest")]
        for blob in (json.loads(answers[0].body)["config"]["digest"], Digest.of(BASE)):
            assert (await proxy.ask(f"/v2/library/app/blobs/{blob}?ns=docker.io")).status == 200
        await proxy.settled()
        names = [name.replace("DIGEST", str(manifest.digest)) for name in asked]
        result = await asyncio.to_thread(ran, tmp_path, "export", str(tar), *names, admin_port=proxy.admin_port)
    assert result.exit_code == 0, result.output
    with tarfile.open(tar) as members:
        listed = json.load(members.extractfile("index.json") or io.BytesIO())["manifests"]
    assert sorted(each["annotations"][REF_NAME] for each in listed) == sorted(f"docker.io/library/app:{tag}" for tag in exported)


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
        assert (result.exit_code, "damaged" in result.stderr) == (1, True), "it was put aside, and pulled by nobody"


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


def test_an_image_that_is_not_whole_is_not_exported(filled: Path) -> None:
    path_of(filled / "store", Digest.of(IMAGES["one"][1])).unlink()
    ran(filled, "rebuild")
    result = ran(filled, "export", str(filled / "images.tar"), _name("one"))
    assert result.exit_code == 1
    assert "not whole" in result.stderr


def test_a_damaged_blob_is_not_exported(filled: Path) -> None:
    with path_of(filled / "store", Digest.of(IMAGES["one"][1])).open("r+b") as file:
        file.write(b"no")
    result = ran(filled, "export", str(filled / "images.tar"), _name("one"))
    assert result.exit_code == 1
    assert "damaged" in result.stderr


def _tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def test_what_docker_saved_is_imported(tmp_path: Path) -> None:
    """In the form of before Docker 25, which has no manifest: names are Docker's short ones."""
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    _tar(
        tmp_path / "saved.tar",
        {"abc.json": b"{}", "1/layer.tar": b"one", "2/layer.tar": b"two", "manifest.json": json.dumps(manifest).encode()},
    )
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:1\n")
    parts = answered(ran(tmp_path, "show", "docker.io/library/app:1", "--json"))["parts"]
    assert {str(Digest.of(body)) for body in (b"{}", b"one", b"two")} < {part["digest"] for part in parts}


def test_a_wrong_blob_is_not_imported(archive: Path, tmp_path: Path) -> None:
    layer = IMAGES["one"][1]
    (tmp_path / "wrong.tar").write_bytes(archive.read_bytes().replace(layer[:1000], bytes(1000)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = ran(elsewhere, "import", str(tmp_path / "wrong.tar"))
    assert result.exit_code == 1
    assert "expected" in result.stderr
    assert not path_of(elsewhere / "store", Digest.of(layer)).exists()


@pytest.mark.parametrize("files", [{}, {"index.json": b"{"}, {"manifest.json": b"[{}]"}], ids=["nothing", "no JSON", "no image"])
def test_a_tar_of_something_else_is_refused_in_a_line(tmp_path: Path, files: dict[str, bytes]) -> None:
    _tar(tmp_path / "other.tar", files)
    result = ran(tmp_path, "import", str(tmp_path / "other.tar"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_an_image_may_be_given_another_name(tmp_path: Path) -> None:
    manifest: list[dict[str, object]] = [{"Config": "abc.json", "RepoTags": None, "Layers": []}]
    _tar(tmp_path / "saved.tar", {"abc.json": b"{}", "manifest.json": json.dumps(manifest).encode()})
    assert ran(tmp_path, "import", str(tmp_path / "saved.tar")).exit_code == 1
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"), "--as", "registry.example:5000/team/app:2")
    assert result.stdout == "imported registry.example:5000/team/app:2\n"


def _layout(images: int = 1, **files: bytes) -> dict[str, bytes]:
    """Write the files of an OCI image layout."""
    config = b"{}"
    body = json.dumps(image_of(Descriptor(OCI_CONFIG, Digest.of(config), len(config)), [])).encode()
    descriptor = written(Descriptor(OCI_MANIFEST, Digest.of(body), len(body)))
    index = {"manifests": [{**descriptor, "annotations": {REF_NAME: f"app:{number}"}} for number in range(images)]}
    blobs = {blob_path(Digest.of(blob)): blob for blob in (config, body)}
    return {"oci-layout": b"{}", "index.json": json.dumps(index).encode(), **blobs, **files}


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"])
def test_n13_07_a_layout_that_was_packed_from_inside_is_imported(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """`tar -C layout .` puts ./ before all names, and itself at the beginning."""
    for name, body in _layout().items():
        (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "layout" / name).write_bytes(body)
    with tarfile.open(tmp_path / "layout.tar", "w") as tar:
        tar.add(tmp_path / "layout", ".")
    (tmp_path / "layout.tar").write_bytes(compress((tmp_path / "layout.tar").read_bytes()))
    result = ran(tmp_path, "import", str(tmp_path / "layout.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:0\n"), result.output


def test_a_layer_that_docker_save_links_to_is_found(tmp_path: Path) -> None:
    """Docker before 25 has a layer that two images share once; podman's tars have links that nobody needs."""
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    with tarfile.open(tmp_path / "saved.tar", "w") as tar:
        for name, body in {"abc.json": b"{}", "1/layer.tar": b"one", "manifest.json": json.dumps(manifest).encode()}.items():
            tar.addfile(_member(name, body), io.BytesIO(body))
        for name, target in {"2/layer.tar": "../1/layer.tar", "3/layer.tar": "../../../etc/shadow", "4/a": "4/b"}.items():
            tar.addfile(_member(name, kind=tarfile.SYMTYPE, link=target))
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:1\n"), result.output


def _member(
    name: str, body: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", more: dict[str, str] | None = None
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname, member.pax_headers = len(body), kind, link, more or {}
    return member


def _of_members(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for member, body in members:
            tar.addfile(member, io.BytesIO(body))
    return file.getvalue()


def _of_files(files: dict[str, bytes]) -> bytes:
    return _of_members(*((_member(name, body), body) for name, body in files.items()))


def _nested(depth: int, ways: int = 2) -> dict[str, bytes]:
    """Point to an image from an index in an index in an index, and from each of them in so many *ways*."""
    files = _layout()
    below = json.loads(files["index.json"])["manifests"][0]
    for _ in range(depth):
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [below] * ways}).encode()
        below = written(Descriptor(OCI_INDEX, Digest.of(body), len(body)))
        files[blob_path(Digest.of(body))] = body
    return {**files, "index.json": json.dumps({"manifests": [{**below, "annotations": {REF_NAME: "app:1"}}]}).encode()}


_FOLDER = _of_members((_member("./", kind=tarfile.DIRTYPE), b""))[:512]

HOSTILE = {
    "links in a circle": _of_members(
        (_member("index.json", kind=tarfile.SYMTYPE, link="b"), b""), (_member("b", kind=tarfile.SYMTYPE, link="index.json"), b"")
    ),
    "a link to itself": _of_members((_member("index.json", kind=tarfile.SYMTYPE, link="index.json"), b"")),
    "hard links in a circle": _of_members(
        (_member("manifest.json", kind=tarfile.LNKTYPE, link="b"), b""), (_member("b", kind=tarfile.LNKTYPE, link="manifest.json"), b"")
    ),
    "a link out of it": _of_members((_member("index.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), b"")),
    "deep JSON": _of_files({"index.json": b"[" * 100_000 + b"]" * 100_000}),
    "deep JSON in an object": _of_files({"index.json": b'{"manifests":' + b"[" * 90_000 + b"]" * 90_000 + b"}"}),
    "huge JSON": _of_files({"index.json": b" " * 5_000_000}),
    "JSON of many values": _of_files({"index.json": b"[" + b"{}," * 1_000_000 + b"{}]"}),
    "a number of many digits": _of_files({"index.json": b"9" * 100_000}),
    "no UTF-8": _of_files({"index.json": b'{"\xff": 1}'}),
    "a list for an index": _of_files({"index.json": b"[]"}),
    "manifests that are none": _of_files({"index.json": b'{"manifests": {"a": 1}}'}),
    "annotations that are none": _of_files(
        _layout(1) | {"index.json": _layout(1)["index.json"].replace(b'{"org.opencontainers.image.ref.name": "app:0"}', b'["a"]')}
    ),
    "a name that is none": _of_files(_layout(1) | {"index.json": _layout(1)["index.json"].replace(b'"app:0"', b"5")}),
    "layers that are none": _of_files({"manifest.json": b'[{"Config": "a", "Layers": [1], "RepoTags": ["a"]}]'}),
    "tags that are none": _of_files({"manifest.json": b'[{"Config": "a", "Layers": [], "RepoTags": {"a": 1}}]'}),
    "an object for a list": _of_files({"manifest.json": b'{"a": 1}'}),
    "an absolute name": _of_files(_layout() | {"/etc/passwd": b"x"}),
    "a name that leads out": _of_files(_layout() | {"blobs/../../x": b"x"}),
    "a file twice": _of_members(*((_member(name, body), body) for name, body in [*_layout().items(), ("./index.json", b"{}")])),
    "a device": _of_members((_member("index.json", kind=tarfile.CHRTYPE), b"")),
    "a pipe": _of_members((_member("index.json", kind=tarfile.FIFOTYPE), b"")),
    "a sparse file": _of_members((_member("index.json", kind=tarfile.GNUTYPE_SPARSE), b""), form=tarfile.GNU_FORMAT),
    "a sparse file of pax": _of_members((_member("index.json", b"x", more={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"x")),
    "a huge header": _of_members((_member("index.json", b"x", more={"comment": "x" * 1_000_000}), b"x")),
    "a long name": _of_members((_member("x" * 100_000, b"x"), b"x"), form=tarfile.GNU_FORMAT),
    "a part of a tar": _of_files({"index.json": bytes(5000)})[:3000],
    "indexes in indexes": _of_files(_nested(40)),
    "much of nothing": gzip.compress(bytes(1_000_000), 1),
    "a part of gzip": gzip.compress(_of_files(_layout()))[:-30],
    "damaged gzip": gzip.compress(_of_files(_layout()))[:-8] + bytes(8),
    "damaged bzip2": bz2.compress(_of_files(_layout()))[:-30] + bytes(30),
    "damaged xz": lzma.compress(_of_files(_layout()))[:-60] + bytes(60),
    "xz that wants memory": lzma.compress(b"x" * 10_000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(100),
}


EMPTY_STREAMS = {"gzip": gzip.compress(b""), "bzip2": bz2.compress(b""), "xz": lzma.compress(b"")}


@pytest.mark.parametrize("form", EMPTY_STREAMS)
def test_n12_17_many_compressed_streams_are_refused_as_they_begin(form: str) -> None:
    """Each copied all that was read behind it: 2,000,000 empty ones took hours."""
    stream = EMPTY_STREAMS[form]
    file = io.BytesIO(stream * 2_000_000)
    chunks = decompressed(file)
    assert chunks is not None
    with pytest.raises(Unreadable, match=r"^it is compressed in more than 10000 streams"):
        next(chunks)
    assert file.tell() < 20_000 * len(stream) + CHUNK


@pytest.mark.parametrize("form", [gzip, bz2, lzma], ids=["gzip", "bzip2", "xz"])
def test_n12_17_streams_of_any_size_are_unpacked_one_after_another(form: Any) -> None:  # noqa: ANN401  a module
    parts = [b"x" * 5_000_000, b"", os.urandom(200_000), *(bytes([number]) for number in range(100))]
    padding = bytes(8 * 20_000) if form is not lzma else b""
    chunks = list(decompressed(io.BytesIO(b"".join(map(form.compress, parts)) + padding)) or [])
    assert b"".join(chunks) == b"".join(parts)
    assert max(map(len, chunks)) <= CHUNK


@pytest.mark.parametrize("name", HOSTILE)
def test_n12_17_a_hostile_tar_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "hostile.tar").write_bytes(HOSTILE[name])
    result = ran(tmp_path, "import", str(tmp_path / "hostile.tar"))
    assert (result.exit_code, len(result.stderr.splitlines()), result.exception.__class__) == (1, 1, SystemExit), result.output
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


def test_n12_17_many_that_point_to_one_cost_as_much_as_one(tmp_path: Path) -> None:
    """Twenty ways from each index to the next are 25,600,000,000 ways in all; each part is read once."""
    (tmp_path / "nested.tar").write_bytes(_of_files(_nested(8, ways=20)))
    result = ran(tmp_path, "import", str(tmp_path / "nested.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:1\n"), result.output
    assert ran(tmp_path, "export", str(tmp_path / "again.tar"), "docker.io/library/app:1").exit_code == 0


def test_n12_17_one_manifest_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """Each may have 4 MiB, and a tar 10,000 of them."""
    config, files, listed = b"{}", {}, []
    for number in range(24):
        image = image_of(Descriptor(OCI_CONFIG, Digest.of(config), len(config)), [])
        body = json.dumps({**image, "annotations": {"number": str(number), "padding": "x" * 4_000_000}}).encode()
        descriptor = written(Descriptor(OCI_MANIFEST, Digest.of(body), len(body)))
        listed.append({**descriptor, "annotations": {REF_NAME: f"app:{number}"}})
        files[blob_path(Digest.of(body))] = body
    files |= {"index.json": json.dumps({"manifests": listed}).encode(), blob_path(Digest.of(config)): config}
    (tmp_path / "large.tar").write_bytes(_of_files(files))
    files.clear()
    tracemalloc.start()
    try:
        result = ran(tmp_path, "import", str(tmp_path / "large.tar"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 24), result.output
    assert most < 48_000_000


@pytest.mark.parametrize("kind", ["members", "zeros"])
async def test_n12_17_a_megabyte_of_gzip_costs_a_server_little_memory(tmp_path: Path, kind: str) -> None:
    """It had 2.1 GB for the members of one that has a million of them, and as much disk as it liked for zeros."""
    size = 32_000_000
    (tmp_path / "bomb.tar").write_bytes(gzip.compress(_FOLDER * (size // 512) if kind == "members" else bytes(size), 1))
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


async def test_an_empty_upstream_is_not_asked_for_what_was_imported(tmp_path: Path) -> None:
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1"], "Layers": []}]
    _tar(tmp_path / "saved.tar", {"abc.json": b"{}", "manifest.json": json.dumps(manifest).encode()})
    await asyncio.to_thread(ran, tmp_path, "import", str(tmp_path / "saved.tar"))
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await proxy.ask("/v2/library/app/manifests/1?ns=docker.io")).status == 200
        assert len(upstream.ledger) == 0
