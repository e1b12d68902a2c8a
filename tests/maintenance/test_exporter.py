"""Images into a tar: nothing wrong or half goes out."""

import asyncio
import io
import json
import tarfile
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.storage.blob_files import path_of
from tests.cli.test_store import BASE, IMAGES, _name, filled, ran
from tests.fakes.registry import FakeRegistry
from tests.fakes.tars import REF_NAME
from tests.rig import rig

__all__ = ["filled"]


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
