"""`regproxy store backup` and `restore`: what operators decided outlives a store."""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from typer.testing import CliRunner, Result

from regproxy.cli import app
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import OperatorDecisions
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import rig

REFERENCE = Reference(Repository("docker.io", "library/app"), Tag("1"))
OTHER = Reference(Repository("localhost:5000", "team/app"), Tag("1"))
RECORD = TagRecord(Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8), 17.5)
DIGESTS = [Digest.of(b"one"), Digest.of(b"other")]
DECISIONS = OperatorDecisions(
    (Digest.of(b"pinned"),),
    (Freeze("docker.io/library/*"), Freeze("localhost:5000/team/app:1", Digest.of(b"frozen"))),
    ((REFERENCE, RECORD),),
)


def ran(root: Path, *arguments: str | Path, admin_port: int = 1) -> Result:
    config = root.with_suffix(".cli.yaml")
    config.write_text(yaml.safe_dump({"store": {"root": str(root)}, "admin_listen": f"127.0.0.1:{admin_port}"}))
    return CliRunner().invoke(app, ["store", *map(str, arguments), "--config", str(config)])


async def _decide(root: Path, decisions: OperatorDecisions) -> None:
    index = await SqliteIndex.open(root / "index.db")
    await index.ledger().decide(decisions)
    await index.put_tag(OTHER, RECORD)  # whose freeze says what it means
    await index.close()


async def _decided(root: Path) -> OperatorDecisions:
    index = await SqliteIndex.open(root / "index.db")
    try:
        return await index.ledger().decisions()
    finally:
        await index.close()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Back up a store with decisions."""
    assert ran(tmp_path / "old", "restore", _file(tmp_path, {"kind": "regproxy backup", "version": 1})).exit_code == 0
    asyncio.run(_decide(tmp_path / "old", DECISIONS))
    result = ran(tmp_path / "old", "backup", tmp_path / "backup.json")
    assert result.exit_code == 0, result.output
    assert "1 pins, 2 freezes and 1 frozen tags" in result.stdout
    return tmp_path / "backup.json"


def _file(tmp_path: Path, document: object) -> Path:
    file = tmp_path / "document.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_n15_07_a_new_store_gets_what_operators_decided(backup: Path, tmp_path: Path) -> None:
    result = ran(tmp_path / "new", "restore", backup)
    assert result.exit_code == 0, result.output
    assert asyncio.run(_decided(tmp_path / "new")) == DECISIONS
    assert ran(tmp_path / "new", "restore", backup).exit_code == 0, "twice is as once"
    assert asyncio.run(_decided(tmp_path / "new")) == DECISIONS


def test_n15_07_what_was_decided_since_stays(backup: Path, tmp_path: Path) -> None:
    later = OperatorDecisions((Digest.of(b"later"),), (Freeze("quay.io/*"),))
    assert ran(tmp_path / "new", "restore", _file(tmp_path, {"kind": "regproxy backup", "version": 1})).exit_code == 0
    asyncio.run(_decide(tmp_path / "new", later))
    assert ran(tmp_path / "new", "restore", backup).exit_code == 0
    found = asyncio.run(_decided(tmp_path / "new"))
    assert set(found.pins) == {*DECISIONS.pins, *later.pins}
    assert set(found.freezes) == {*DECISIONS.freezes, *later.freezes}


async def test_n15_07_it_goes_through_a_running_server_and_counts_at_once(tmp_path: Path) -> None:
    """A frozen tag keeps the digest of the backup, though upstream has moved it and the new store has never seen it."""
    async with FakeRegistry() as upstream:
        old = upstream.add_image("library/app", "1", [b"old"])
        path = "/v2/library/app/manifests/1?ns=docker.io"
        async with rig(tmp_path / "old", {"docker.io": upstream.url}) as proxy:
            assert (await proxy.ask(path)).headers["Docker-Content-Digest"] == str(old.digest)
            assert (await proxy.admin("freezes", "POST", {"pattern": "docker.io/library/*"}))[0] == 201
            run = partial(ran, tmp_path / "old", "backup", tmp_path / "backup.json", admin_port=proxy.admin_port)
            assert (await asyncio.to_thread(run)).exit_code == 0
        moved = upstream.add_image("library/app", "1", [b"new"])
        async with rig(tmp_path / "new", {"docker.io": upstream.url}) as proxy:
            assert (await proxy.ask(path)).headers["Docker-Content-Digest"] == str(moved.digest)
            run = partial(ran, tmp_path / "new", "restore", tmp_path / "backup.json", admin_port=proxy.admin_port)
            result = await asyncio.to_thread(run)
            assert result.exit_code == 0, result.output
            assert (await proxy.ask(path)).headers["Docker-Content-Digest"] == str(old.digest)


async def test_n15_07_a_backup_larger_than_a_request_is_restored_in_parts(tmp_path: Path) -> None:
    pins = [str(Digest.of(str(number).encode())) for number in range(20_000)]
    file = _file(tmp_path, {"kind": "regproxy backup", "version": 1, "pins": pins, "freezes": [], "tags": []})
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        result = await asyncio.to_thread(partial(ran, tmp_path / "store", "restore", file, admin_port=proxy.admin_port))
        assert result.exit_code == 0, result.output
        assert len((await proxy.admin("store/backup"))[1]["pins"]) == len(pins)


async def test_n15_07_restores_at_the_same_time_leave_each_entry_as_one_of_them_has_it(tmp_path: Path) -> None:
    def document(name: str, number: int) -> dict[str, object]:
        freezes = [{"pattern": f"docker.io/{name}/*", "digest": None}, {"pattern": "docker.io/both/*", "digest": str(DIGESTS[number])}]
        pins = [str(Digest.of(f"{name} {each}".encode())) for each in range(6000)]
        return {"kind": "regproxy backup", "version": 1, "pins": pins, "freezes": freezes, "tags": []}

    files = [tmp_path / f"{name}.json" for name in ("one", "other")]
    for number, file in enumerate(files):
        file.write_text(json.dumps(document(file.stem, number)))
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        command = [sys.executable, "-m", "regproxy", "store", "restore", "--admin", f"http://127.0.0.1:{proxy.admin_port}"]
        runs = [await asyncio.create_subprocess_exec(*command, str(file)) for file in files]
        assert [await run.wait() for run in runs] == [0, 0]
        found = (await proxy.admin("store/backup"))[1]
    assert len(found["pins"]) == 12_000
    meanings = {each["pattern"]: each["digest"] for each in found["freezes"]}
    assert meanings.keys() == {"docker.io/one/*", "docker.io/other/*", "docker.io/both/*"}
    assert meanings["docker.io/both/*"] in set(map(str, DIGESTS))


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("{", "is not JSON"),
        pytest.param("[" * 100_000, "is not JSON", id="deep"),
        ({"kind": "regproxy backup", "version": 2}, "the backup has version 2, and this regproxy reads 1"),
    ],
    ids=str,
)
async def test_n15_07_what_is_no_backup_changes_nothing(tmp_path: Path, document: object, line: str) -> None:
    file = _file(tmp_path, document)
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        result = await asyncio.to_thread(partial(ran, tmp_path / "store", "restore", file, admin_port=proxy.admin_port))
        assert result.exit_code == 1
        assert line in result.stderr
        if not isinstance(document, str):
            status, answer = await proxy.admin("store/restore", "POST", document)
            assert status == 400
            assert line in answer["error"]


async def test_n15_07_a_restore_that_is_interrupted_says_how_far_it_came_and_is_run_again(tmp_path: Path) -> None:
    """The server ends after the first part: what it has taken it keeps, and the whole may be sent again."""
    pins = [str(Digest.of(str(number).encode())) for number in range(20_000)]
    file = _file(tmp_path, {"kind": "regproxy backup", "version": 1, "pins": pins, "freezes": [], "tags": []})
    taken: list[int] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        part = await request.json()
        if taken:
            request.protocol.force_close()
            return web.Response()
        taken.append(len(part["pins"]))
        return web.json_response({name: len(part.get(name, [])) for name in ("pins", "freezes", "tags")})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    try:
        result = await asyncio.to_thread(ran, tmp_path / "store", "restore", file, "--admin", f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()
    assert result.exit_code == 1
    assert f"restored so far: {taken[0]} pins, 0 freezes, 0 tags of 20000 pins, 0 freezes, 0 tags: run it again" in result.stderr
