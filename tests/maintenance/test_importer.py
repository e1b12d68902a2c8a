"""Images out of a tar, and what is no image."""

import asyncio
import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.layout import blob_path, image_of, written
from regproxy.oci.manifest import OCI_MANIFEST
from tests.cli.test_store import answered, ran
from tests.fakes.registry import FakeRegistry
from tests.fakes.tars import OCI_CONFIG, REF_NAME, layout, member, nested, of_files, of_members, write_tar
from tests.rig import rig


def test_what_docker_saved_is_imported(tmp_path: Path) -> None:
    """In the form of before Docker 25, which has no manifest: names are Docker's short ones."""
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    write_tar(
        tmp_path / "saved.tar",
        {"abc.json": b"{}", "1/layer.tar": b"one", "2/layer.tar": b"two", "manifest.json": json.dumps(manifest).encode()},
    )
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:1\n")
    parts = answered(ran(tmp_path, "show", "docker.io/library/app:1", "--json"))["parts"]
    assert {str(Digest.of(body)) for body in (b"{}", b"one", b"two")} < {part["digest"] for part in parts}


@pytest.mark.parametrize("files", [{}, {"index.json": b"{"}, {"manifest.json": b"[{}]"}], ids=["nothing", "no JSON", "no image"])
def test_a_tar_of_something_else_is_refused_in_a_line(tmp_path: Path, files: dict[str, bytes]) -> None:
    write_tar(tmp_path / "other.tar", files)
    result = ran(tmp_path, "import", str(tmp_path / "other.tar"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_an_image_may_be_given_another_name(tmp_path: Path) -> None:
    manifest: list[dict[str, object]] = [{"Config": "abc.json", "RepoTags": None, "Layers": []}]
    write_tar(tmp_path / "saved.tar", {"abc.json": b"{}", "manifest.json": json.dumps(manifest).encode()})
    assert ran(tmp_path, "import", str(tmp_path / "saved.tar")).exit_code == 1
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"), "--as", "registry.example:5000/team/app:2")
    assert result.stdout == "imported registry.example:5000/team/app:2\n"


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"])
def test_n13_07_a_layout_that_was_packed_from_inside_is_imported(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """`tar -C layout .` puts ./ before all names, and itself at the beginning."""
    for name, body in layout().items():
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
            tar.addfile(member(name, body), io.BytesIO(body))
        for name, target in {"2/layer.tar": "../1/layer.tar", "3/layer.tar": "../../../etc/shadow", "4/a": "4/b"}.items():
            tar.addfile(member(name, kind=tarfile.SYMTYPE, link=target))
    result = ran(tmp_path, "import", str(tmp_path / "saved.tar"))
    assert (result.exit_code, result.stdout) == (0, "imported docker.io/library/app:1\n"), result.output


HOSTILE = {
    "links in a circle": of_members(
        (member("index.json", kind=tarfile.SYMTYPE, link="b"), b""), (member("b", kind=tarfile.SYMTYPE, link="index.json"), b"")
    ),
    "a link to itself": of_members((member("index.json", kind=tarfile.SYMTYPE, link="index.json"), b"")),
    "hard links in a circle": of_members(
        (member("manifest.json", kind=tarfile.LNKTYPE, link="b"), b""), (member("b", kind=tarfile.LNKTYPE, link="manifest.json"), b"")
    ),
    "a link out of it": of_members((member("index.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), b"")),
    "deep JSON": of_files({"index.json": b"[" * 100_000 + b"]" * 100_000}),
    "deep JSON in an object": of_files({"index.json": b'{"manifests":' + b"[" * 90_000 + b"]" * 90_000 + b"}"}),
    "huge JSON": of_files({"index.json": b" " * 5_000_000}),
    "JSON of many values": of_files({"index.json": b"[" + b"{}," * 1_000_000 + b"{}]"}),
    "a number of many digits": of_files({"index.json": b"9" * 100_000}),
    "no UTF-8": of_files({"index.json": b'{"\xff": 1}'}),
    "a list for an index": of_files({"index.json": b"[]"}),
    "manifests that are none": of_files({"index.json": b'{"manifests": {"a": 1}}'}),
    "annotations that are none": of_files(
        layout(1) | {"index.json": layout(1)["index.json"].replace(b'{"org.opencontainers.image.ref.name": "app:0"}', b'["a"]')}
    ),
    "a name that is none": of_files(layout(1) | {"index.json": layout(1)["index.json"].replace(b'"app:0"', b"5")}),
    "layers that are none": of_files({"manifest.json": b'[{"Config": "a", "Layers": [1], "RepoTags": ["a"]}]'}),
    "tags that are none": of_files({"manifest.json": b'[{"Config": "a", "Layers": [], "RepoTags": {"a": 1}}]'}),
    "an object for a list": of_files({"manifest.json": b'{"a": 1}'}),
    "an absolute name": of_files(layout() | {"/etc/passwd": b"x"}),
    "a name that leads out": of_files(layout() | {"blobs/../../x": b"x"}),
    "a file twice": of_members(*((member(name, body), body) for name, body in [*layout().items(), ("./index.json", b"{}")])),
    "a device": of_members((member("index.json", kind=tarfile.CHRTYPE), b"")),
    "a pipe": of_members((member("index.json", kind=tarfile.FIFOTYPE), b"")),
    "a sparse file": of_members((member("index.json", kind=tarfile.GNUTYPE_SPARSE), b""), form=tarfile.GNU_FORMAT),
    "a sparse file of pax": of_members((member("index.json", b"x", more={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"x")),
    "a huge header": of_members((member("index.json", b"x", more={"comment": "x" * 1_000_000}), b"x")),
    "a long name": of_members((member("x" * 100_000, b"x"), b"x"), form=tarfile.GNU_FORMAT),
    "a part of a tar": of_files({"index.json": bytes(5000)})[:3000],
    "indexes in indexes": of_files(nested(40)),
    "much of nothing": gzip.compress(bytes(1_000_000), 1),
    "a part of gzip": gzip.compress(of_files(layout()))[:-30],
    "damaged gzip": gzip.compress(of_files(layout()))[:-8] + bytes(8),
    "damaged bzip2": bz2.compress(of_files(layout()))[:-30] + bytes(30),
    "damaged xz": lzma.compress(of_files(layout()))[:-60] + bytes(60),
    "xz that wants memory": lzma.compress(b"x" * 10_000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_n12_17_a_hostile_tar_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "hostile.tar").write_bytes(HOSTILE[name])
    result = ran(tmp_path, "import", str(tmp_path / "hostile.tar"))
    assert (result.exit_code, len(result.stderr.splitlines()), result.exception.__class__) == (1, 1, SystemExit), result.output
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


def test_n12_17_many_that_point_to_one_cost_as_much_as_one(tmp_path: Path) -> None:
    """Twenty ways from each index to the next are 25,600,000,000 ways in all; each part is read once."""
    (tmp_path / "nested.tar").write_bytes(of_files(nested(8, ways=20)))
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
    (tmp_path / "large.tar").write_bytes(of_files(files))
    files.clear()
    tracemalloc.start()
    try:
        result = ran(tmp_path, "import", str(tmp_path / "large.tar"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 24), result.output
    assert most < 48_000_000


async def test_an_empty_upstream_is_not_asked_for_what_was_imported(tmp_path: Path) -> None:
    manifest = [{"Config": "abc.json", "RepoTags": ["app:1"], "Layers": []}]
    write_tar(tmp_path / "saved.tar", {"abc.json": b"{}", "manifest.json": json.dumps(manifest).encode()})
    await asyncio.to_thread(ran, tmp_path, "import", str(tmp_path / "saved.tar"))
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await proxy.ask("/v2/library/app/manifests/1?ns=docker.io")).status == 200
        assert len(upstream.ledger) == 0
