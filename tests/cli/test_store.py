"""`regproxy store`, on a directory and beside a running server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from regproxy.cli import app
from regproxy.config.units import size
from regproxy.oci.digest import Digest
from regproxy.storage.blob_files import path_of
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

BASE, ONE, TWO = os.urandom(400_000), os.urandom(100_000), os.urandom(200_000)
IMAGES = {"one": (BASE, ONE), "two": (BASE, TWO)}


@asynccontextmanager
async def _running(tmp_path: Path) -> AsyncIterator[Rig]:
    """Run a proxy that has pulled two images with a common base."""
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        for name, layers in IMAGES.items():
            upstream.add_image(f"library/{name}", "1", layers)
            manifest = json.loads((await proxy.ask(f"/v2/library/{name}/manifests/1?ns=docker.io")).body)
            for blob in (manifest["config"], *manifest["layers"]):
                await proxy.ask(f"/v2/library/{name}/blobs/{blob['digest']}?ns=docker.io")
        await proxy.settled()
        yield proxy


async def _fill(tmp_path: Path) -> None:
    async with _running(tmp_path):
        pass


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    asyncio.run(_fill(tmp_path))
    return tmp_path


def ran(tmp_path: Path, *arguments: str, admin_port: int = 1, **environ: str) -> Result:
    config = tmp_path / "cli.yaml"
    config.write_text(yaml.safe_dump({"store": {"root": str(tmp_path / "store")}, "admin_listen": f"127.0.0.1:{admin_port}"}))
    return CliRunner().invoke(app, ["store", *arguments, "--config", str(config)], env={"COLUMNS": "200", **environ})


def answered(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def _name(image: str) -> str:
    return f"docker.io/library/{image}:1"


def test_images_are_listed_with_their_size(filled: Path) -> None:
    listed = answered(ran(filled, "ls", "--json"))
    assert {name for image in listed["images"] for name in image["names"]} == {_name("one"), _name("two")}
    assert _name("one") in ran(filled, "ls").stdout


def test_du_tells_what_two_images_share(filled: Path) -> None:
    images = {image["names"][0]: image for image in answered(ran(filled, "du", "--json"))["images"]}
    one, two = images[_name("one")], images[_name("two")]
    assert one["size"] - one["alone"] == two["size"] - two["alone"] == len(BASE)
    assert two["alone"] - one["alone"] == len(TWO) - len(ONE)
    assert "ALONE" in ran(filled, "du").stdout


def test_an_image_is_shown_with_its_parts(filled: Path) -> None:
    shown = answered(ran(filled, "show", _name("one"), "--json"))
    parts = {part["digest"]: part for part in shown["parts"]}
    assert parts[str(Digest.of(BASE))]["shared_with"] == 1
    assert parts[str(Digest.of(ONE))]["shared_with"] == 0
    assert str(Digest.of(ONE)) in ran(filled, "show", shown["digest"]).stdout


def test_removing_an_image_leaves_what_others_need(filled: Path) -> None:
    assert ran(filled, "rm", _name("one"), "--dry-run").stdout.startswith("would remove")
    assert path_of(filled / "store", Digest.of(ONE)).exists()
    assert ran(filled, "rm", _name("one")).stdout.startswith("removed")
    assert not path_of(filled / "store", Digest.of(ONE)).exists()
    assert path_of(filled / "store", Digest.of(BASE)).exists()
    assert len(answered(ran(filled, "ls", "--json"))["images"]) == 1


def test_gc_removes_what_is_old_and_not_pinned(filled: Path) -> None:
    assert ran(filled, "pin", _name("two")).exit_code == 0
    assert answered(ran(filled, "gc", "--json"))["removed"] == []
    assert ran(filled, "gc").stdout == "removed 0 images and lone blobs: 0B\n"
    assert len(answered(ran(filled, "gc", "--unused-for", "0s", "--dry-run", "--json"))["removed"]) == 1
    assert ran(filled, "gc", "--unused-for", "0s").exit_code == 0
    (left,) = answered(ran(filled, "ls", "--json"))["images"]
    assert (left["names"], left["is_pinned"]) == ([_name("two")], True)
    assert ran(filled, "unpin", _name("two")).exit_code == 0
    ran(filled, "gc", "--unused-for", "0s")
    assert answered(ran(filled, "ls", "--json"))["images"] == []


def test_what_stays_is_not_removed_by_name_either(filled: Path) -> None:
    """To remove it would leave a pin behind that nobody keeps."""
    assert ran(filled, "pin", _name("two")).exit_code == 0
    result = ran(filled, "rm", _name("two"))
    assert (result.exit_code, result.stderr) == (1, f"{_name('two')} is pinned: unpin it first\n")
    assert "pinned" in ran(filled, "ls").stdout


def test_verify_finds_damage_and_says_so_to_the_shell(filled: Path) -> None:
    assert ran(filled, "verify").exit_code == 0
    with path_of(filled / "store", Digest.of(TWO)).open("r+b") as file:
        file.write(b"no")
    result = ran(filled, "verify")
    assert (result.exit_code, result.stdout) == (1, "1 damaged\n")
    assert not path_of(filled / "store", Digest.of(TWO)).exists()


def test_a_lost_index_is_rebuilt(filled: Path) -> None:
    """Which repository holds an image is lost, and asked again; the bytes are not."""
    before = answered(ran(filled, "ls", "--json"))
    for leftover in (filled / "store").glob("index.db*"):
        leftover.unlink()
    assert "found and recorded" in ran(filled, "rebuild").stdout
    after = answered(ran(filled, "ls", "--json"))
    assert {image["digest"] for image in after["images"]} == {image["digest"] for image in before["images"]}
    assert (after["count"], after["bytes"]) == (before["count"], before["bytes"])


def test_an_unknown_image_is_a_clear_line(filled: Path) -> None:
    result = ran(filled, "show", "nginx")
    assert result.exit_code == 1
    assert result.stderr.startswith("the store holds no image nginx")


async def test_a_running_server_verifies_and_rebuilds(tmp_path: Path) -> None:
    async with _running(tmp_path) as proxy:

        async def asked(*arguments: str) -> Result:
            return await asyncio.to_thread(ran, tmp_path, *arguments, admin_port=proxy.admin_port)

        assert (await asked("verify")).stdout == "0 damaged\n"
        with path_of(tmp_path / "store", Digest.of(TWO)).open("r+b") as file:
            file.write(b"no")
        path_of(tmp_path / "store", Digest.of(ONE)).unlink()
        assert answered(await asked("rebuild", "--json"))["damaged"] == 0
        shown = answered(await asked("show", _name("one"), "--json"))
        assert str(Digest.of(ONE)) not in {part["digest"] for part in shown["parts"]}
        result = await asked("verify")
        assert (result.exit_code, result.stdout) == (1, "1 damaged\n")
        assert not path_of(tmp_path / "store", Digest.of(TWO)).exists()


async def test_a_running_server_is_asked_instead(tmp_path: Path) -> None:
    async with _running(tmp_path) as proxy:

        async def asked(*arguments: str) -> Result:
            return await asyncio.to_thread(ran, tmp_path, *arguments, admin_port=proxy.admin_port)

        assert len(answered(await asked("ls", "--json"))["images"]) == 2
        assert answered(await asked("show", _name("one"), "--json"))["names"] == [_name("one")]
        assert (await asked("pin", _name("two"))).exit_code == 0
        assert (await asked("gc", "--unused-for", "0s")).exit_code == 0
        assert len(answered(await asked("ls", "--json"))["images"]) == 1
        assert (await asked("show", _name("one"))).exit_code == 1


async def test_a_server_that_holds_the_store_and_does_not_answer_is_named(tmp_path: Path) -> None:
    async with _running(tmp_path):
        result = await asyncio.to_thread(ran, tmp_path, "ls")
    assert result.exit_code == 1
    assert "in use by process" in result.stderr
    assert "127.0.0.1:1" in result.stderr


async def test_n13_06_store_asks_the_server_that_is_named(tmp_path: Path) -> None:
    """Whatever lies where the configuration of whoever asks has its own store."""
    async with _running(tmp_path) as proxy:
        admin = f"http://127.0.0.1:{proxy.admin_port}"
        (tmp_path / "elsewhere").mkdir()
        for arguments, environment in ((["--admin", admin], ""), ([], admin)):
            listed = await asyncio.to_thread(partial(ran, tmp_path / "elsewhere", "ls", "--json", *arguments, REGPROXY_ADMIN=environment))
            assert len(answered(listed)["images"]) == 2
    assert not (tmp_path / "elsewhere" / "store").exists()


async def test_n13_06_a_server_with_another_store_is_not_taken_for_the_configured_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with _running(tmp_path) as proxy:
        result = await asyncio.to_thread(ran, tmp_path / "other", "ls", admin_port=proxy.admin_port)
    assert result.exit_code == 1
    assert f"there is no store at {tmp_path}/other/store" in result.stderr
    assert f"holds another, {tmp_path}/store" in result.stderr


async def test_n13_06_where_nobody_names_a_place_the_server_is_asked_and_its_store_named(tmp_path: Path) -> None:
    async with _running(tmp_path) as proxy:
        env = {"REGPROXY__ADMIN_LISTEN": f"127.0.0.1:{proxy.admin_port}", "REGPROXY__LISTEN": "127.0.0.1:0", "COLUMNS": "200"}
        result = await asyncio.to_thread(CliRunner().invoke, app, ["store", "ls"], env=env)
    assert (result.exit_code, _name("one") in result.stdout) == (0, True)
    assert f"the store at {tmp_path}/store, held by the regproxy at http://127.0.0.1:{proxy.admin_port}" in result.stderr


def test_n13_06_asking_makes_no_store(tmp_path: Path) -> None:
    result = ran(tmp_path, "ls")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no store at {tmp_path}/store, and no regproxy answers at http://127.0.0.1:1" in result.stderr
    assert not (tmp_path / "store").exists()


def test_n13_06_short_names_work_and_success_says_what_was_done(filled: Path) -> None:
    assert ran(filled, "pin", "one:1").stdout == f"pinned {_name('one')}: it stays until `regproxy store unpin`\n"
    assert ran(filled, "unpin", "library/one:1").stdout == f"unpinned {_name('one')}\n"
    assert ran(filled, "show", "one:1").stdout.startswith(f"{_name('one')}\nsha256:")
    assert ran(filled, "export", str(filled / "one.tar"), "one:1").exit_code == 0
    assert _name("two") in ran(filled, "gc", "--unused-for", "0s", "--dry-run").stdout
    assert ran(filled, "rm", "docker.io/one:1").stdout.startswith(f"removed {_name('one')}: ")


def test_n13_06_a_size_is_shown_as_it_may_be_given(filled: Path) -> None:
    [shown] = [line.split()[1] for line in ran(filled, "ls").stdout.splitlines() if line.startswith(_name("one"))]
    assert shown.endswith("KiB")
    assert size(shown) > len(BASE)
