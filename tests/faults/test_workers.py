"""The program with its supervisor and workers: rows P01, P02, P03, P04, P13, P14, P15, P20, S28, U01."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.deeds import Delay, Paced, Stall
from tests.fakes.entry import on
from tests.fakes.loader import Loader
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, get, raw

NAME = "library/app"
MIB = 1024 * 1024
BLOB = os.urandom(4 * MIB)
LARGE = os.urandom(24 * MIB)  # more than the kernel takes for a client that does not read
MANIFEST = f"/v2/{NAME}/manifests/1"


# What systemd does with a socket unit (sd_listen_fds(3)).
ACTIVATED = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(os.dup(listener.detach()), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "registry"}
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def program(upstream: FakeRegistry, tmp_path: Path) -> Program:
    return Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})


@asynccontextmanager
async def loaded(program: Program, path: str, body: bytes, connections: int = 8) -> AsyncIterator[list[Loader]]:
    """Ask without a pause over many connections meanwhile."""
    loaders = [Loader(program.port, path, body) for _ in range(connections)]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(loader.run(stop)) for loader in loaders]
    try:
        yield loaders
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def asked(loaders: list[Loader], more: int) -> None:
    """Wait until so many more answers came."""
    before = sum(loader.answers for loader in loaders)
    async with asyncio.timeout(300):
        while sum(loader.answers for loader in loaders) < before + more:  # noqa: ASYNC110 -- tasks are watched
            await asyncio.sleep(0.02)


def failures(loaders: list[Loader]) -> list[str]:
    return [failure for loader in loaders for failure in loader.failures]


async def test_p01_sigterm_lets_a_hundred_streams_finish(upstream: FakeRegistry, program: Program) -> None:
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB)}"
    upstream.misbehave(on("GET", "/blobs/"), Paced(2 * MIB))

    async def followed() -> bool:
        return await program.metric("regproxy_fill_followers_total") == 100

    async with program.running():
        streams = [asyncio.create_task(raw(program.port, get(path))) for _ in range(100)]
        await upstream.seen("/blobs/")
        await program.until(followed)
        program.tell(signal.SIGTERM)
        answers = await asyncio.gather(*streams)
        assert await program.ended() == 0
    assert [answer.body == BLOB and not answer.was_reset for answer in answers] == [True] * 100


async def test_p02_a_rolling_restart_loses_no_request(upstream: FakeRegistry, program: Program) -> None:
    """Each SIGHUP replaces both workers; every connection is told before it is closed."""
    image = upstream.add_image(NAME, "1", [b"layer"])
    body = upstream.repositories[NAME].manifests[image.digest].body
    async with program.running():
        assert (await program.ask(MANIFEST))[1] == body
        before = program.workers()
        async with loaded(program, MANIFEST, body) as loaders:
            await asked(loaders, 200)
            for _ in range(2):
                old = set(program.workers())
                program.tell(signal.SIGHUP)
                await program.until(lambda old=old: old.isdisjoint(program.workers()) and len(program.workers()) == 2)  # type: ignore[misc]
                await asked(loaders, 200)
        assert failures(loaders) == []
        assert set(before).isdisjoint(program.workers())
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0
    assert [line for line in program.lines() if line["level"] == "error"] == []


async def test_p03_a_killed_worker_takes_only_its_own_clients_along(upstream: FakeRegistry, program: Program) -> None:
    image = upstream.add_image(NAME, "1", [b"layer"])
    body = upstream.repositories[NAME].manifests[image.digest].body
    async with program.running():
        assert (await program.ask(MANIFEST))[1] == body
        async with loaded(program, MANIFEST, body, 16) as loaders:
            await asked(loaders, 200)
            victim = program.workers()[0]
            os.kill(victim, signal.SIGKILL)
            await program.until(lambda: victim not in program.workers() and len(program.workers()) == 2)
            await asked(loaders, 200)
        hurt = [loader for loader in loaders if loader.failures]
        assert 0 < len(hurt) < len(loaders), "the kernel shares connections out"
        assert {len(loader.failures) for loader in hurt} == {1}, "who asks again is answered"
        assert await program.is_ready()
        assert 'regproxy_worker_restarts_total{reason="died"} 1.0' in (await program.admin("/metrics"))[1]


async def test_p04_a_stopped_worker_is_replaced(upstream: FakeRegistry, program: Program) -> None:
    """Its clients wait for ever otherwise: the kernel goes on giving it connections."""
    image = upstream.add_image(NAME, "1", [b"layer"])
    body = upstream.repositories[NAME].manifests[image.digest].body
    async with program.running():
        victim = program.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        await program.until(lambda: victim not in program.workers() and len(program.workers()) == 2)
        answers = await asyncio.gather(*(program.ask(MANIFEST) for _ in range(20)))
        assert {answer for _, answer in answers} == {body}
        assert 'regproxy_worker_restarts_total{reason="silent"} 1.0' in (await program.admin("/metrics"))[1]


async def test_p04_a_worker_that_is_stopped_before_it_said_a_word_is_replaced(program: Program) -> None:
    async with program.running():
        known = set(program.workers())
        os.kill(program.workers()[0], signal.SIGKILL)
        await program.until(lambda: set(program.workers()) - known)
        (victim,) = set(program.workers()) - known
        os.kill(victim, signal.SIGSTOP)
        await program.until(lambda: victim not in program.workers() and len(program.workers()) == 2)
        await program.until(program.are_all_accepting)
        assert await program.metric('regproxy_worker_restarts_total{reason="silent"}') == 1


async def test_no_worker_outlives_its_supervisor(program: Program) -> None:
    async with program.running():
        workers = program.workers()
        program.tell(signal.SIGKILL)
        await program.ended()
        await program.until(lambda: not any(map(_is_alive, workers)))


async def test_a_worker_that_keeps_dying_does_not_keep_the_others_from_serving(upstream: FakeRegistry, program: Program) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with program.running():
        for deaths in range(1, 4):
            os.kill(program.workers()[-1], signal.SIGKILL)
            await program.until(lambda deaths=deaths: program.log().count("a worker died") == deaths)  # type: ignore[misc]
            await program.until(lambda: len(program.workers()) == 2)
        pauses = [line["restart_in"] for line in program.lines() if line["message"] == "a worker died"]
        assert pauses[0] == 0.0
        assert (await program.ask(MANIFEST))[0] == 200


async def test_a_configuration_that_does_not_load_changes_nothing(upstream: FakeRegistry, program: Program) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with program.running():
        workers = program.workers()
        program.configure(drain="soon", stor={})
        program.tell(signal.SIGHUP)
        await program.until(lambda: "unknown key" in program.log())
        assert (program.workers(), (await program.ask(MANIFEST))[0]) == (workers, 200)
    mistakes = [line["mistake"] for line in program.lines() if "mistake" in line]
    assert len(mistakes) == 2, "one line for each"


async def test_what_cannot_change_while_it_runs_is_said_and_the_rest_changes(upstream: FakeRegistry, program: Program) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with program.running():
        old = set(program.workers())
        elsewhere = {"root": str(program.config.parent / "elsewhere")}
        program.configure(
            listen=f"{LOOPBACK}:1", store=elsewhere, upstreams={"docker.io": {"hosts": [{"url": upstream.url}], "deny": ["*"]}}
        )
        program.tell(signal.SIGHUP)
        await program.until(lambda: old.isdisjoint(program.workers()) and len(program.workers()) == 2)
        assert (await program.ask(MANIFEST))[0] == 403
        told = [line["settings"] for line in program.lines() if "settings" in line]
        assert told == ["listen, store.root"]
        assert not (program.config.parent / "elsewhere").exists()


async def test_a_new_configuration_does_not_cut_an_export(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Who began it ends it, within `drain`, while another answers at the admin port."""
    upstream.add_image(NAME, "1", [LARGE])
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, drain="10m")
    async with program.running():
        manifest = json.loads((await program.ask(MANIFEST))[1])
        for entry in (manifest["config"], *manifest["layers"]):
            assert (await program.ask(f"/v2/{NAME}/blobs/{entry['digest']}"))[0] == 200

        async def is_kept() -> bool:
            return await program.metric("regproxy_fills_in_progress") == 0

        await program.until(is_kept)
        reader, writer = await asyncio.open_connection(LOOPBACK, program.admin_port)
        writer.write(
            f"GET /api/v1/store/export?image=docker.io/{NAME}:1 HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert " 200 ok" in head
        for effects in (1, 2):
            program.tell(signal.SIGHUP)
            await program.until(lambda effects=effects: program.log().count("configuration reloaded") == effects)  # type: ignore[misc]
            assert await program.is_ready()
        received = len(await reader.read(-1))
        assert received == int(head.partition("content-length: ")[2].partition("\r\n")[0])
        writer.close()
    assert [line for line in program.lines() if line["level"] == "error"] == []


async def test_p14_a_credential_is_changed_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    """The stream ends well with the old one; every new request goes with the new one."""

    def with_password(url: str, password: str) -> dict[str, object]:
        return {"docker.io": {"hosts": [{"url": url, "credentials": {"username": "user", "password": password}}]}}

    async with FakeRegistry("password", password="canary-old-1") as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB)}"
        stall = Stall(MIB)
        upstream.misbehave(on("GET", "/blobs/"), stall, times=1)
        timeouts = {"silence": "60s", "progress": "60s"}  # the stream is to stand still for as long as the workers take
        program = Program(tmp_path, with_password(upstream.url, "canary-old-1"), timeouts=timeouts, drain="60s")
        async with program.running():
            old = set(program.workers())
            stream = asyncio.create_task(raw(program.port, get(path)))
            await stall.reached.wait()
            upstream.password = "canary-new-2"
            upstream.expire_tokens()
            program.configure(upstreams=with_password(upstream.url, "canary-new-2"))
            program.tell(signal.SIGHUP)
            await program.until(lambda: "configuration reloaded" in program.log())
            answers = await asyncio.gather(*(program.ask(MANIFEST) for _ in range(10)))
            assert {status for status, _ in answers} == {200}
            assert old & set(program.workers()), "the one that streams is still there"
            stall.event.set()
            assert (await stream).body == BLOB
            await program.until(lambda: old.isdisjoint(program.workers()))
        assert "canary" not in program.log()


async def test_u01_a_herd_over_four_workers_asks_one_token_and_one_manifest(tmp_path: Path) -> None:
    async with FakeRegistry("password") as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave("/token", Delay(0.5))
        host = {"url": upstream.url, "credentials": {"username": upstream.username, "password": upstream.password}}
        program = Program(tmp_path, {"docker.io": {"hosts": [host]}}, workers=4)
        async with program.running():
            answers = await asyncio.gather(*(program.ask(MANIFEST) for _ in range(80)))
            assert {status for status, _ in answers} == {200}
            assert await program.metric('regproxy_requests_total{endpoint="manifests"') == 80
            program.tell(signal.SIGTERM)
            assert await program.ended() == 0
    ids = [line["request_id"] for line in program.lines() if line.get("endpoint") == "manifests"]
    assert (len(ids), len(set(ids))) == (80, 80), "the header X-Request-Id finds one line"
    assert len(upstream.issued) == 1
    assert len([entry for entry in upstream.ledger if entry.kind == "manifests" and entry.status == 200]) == 1


@pytest.mark.parametrize("is_there", [True, False], ids=["a tag", "no such tag"])
async def test_u01_a_herd_over_four_workers_asks_one_question_however_short_the_answer_holds(tmp_path: Path, is_there: bool) -> None:
    """An answer that was given after they asked is theirs as well."""
    rules = [{"fresh_for": "0s", "missing_for": "0s"}]
    async with FakeRegistry() as upstream:
        image = upstream.add_image(NAME, "1", [b"layer"])
        body = upstream.repositories[NAME].manifests[image.digest].body
        path, status = (MANIFEST, 200) if is_there else (f"/v2/{NAME}/manifests/none", 404)
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}], "tags": rules}}, workers=4)
        async with program.running():
            assert await program.ask(MANIFEST) == (200, body)
            before = len(upstream.ledger)
            upstream.misbehave("/manifests/", Delay(3))
            answers = await asyncio.gather(*(program.ask(path) for _ in range(80)))
            assert {found for found, _ in answers} == {status}
            assert await program.metric('regproxy_requests_total{endpoint="manifests"') == 81
        assert len(upstream.ledger) - before == 1


async def test_a_freeze_holds_for_every_worker_at_once(upstream: FakeRegistry, program: Program) -> None:
    first = upstream.add_image(NAME, "1", [b"first"])
    program.configure(upstreams={"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}})
    async with program.running():
        body = (await program.ask(MANIFEST))[1]
        await program.admin("/api/v1/freezes", "POST", {"pattern": f"docker.io/{NAME}:1"})
        second = upstream.add_image(NAME, "1", [b"second"])
        assert {answer for _, answer in await asyncio.gather(*(program.ask(MANIFEST) for _ in range(20)))} == {body}
        await program.admin(f"/api/v1/freezes?pattern=docker.io/{NAME}:1", "DELETE")
        answers = {answer for _, answer in await asyncio.gather(*(program.ask(MANIFEST) for _ in range(20)))}
        assert answers == {upstream.repositories[NAME].manifests[second.digest].body}
    assert first.digest != second.digest


async def test_the_admin_port_tells_what_any_worker_found_out(upstream: FakeRegistry, program: Program) -> None:
    await upstream.stop()
    async with program.running():
        assert (await program.ask(MANIFEST))[0] == 502

        async def has_failed() -> bool:
            hosts = json.loads((await program.admin("/api/v1/upstreams"))[1])["docker.io"]["hosts"]
            return bool(hosts[0]["failures"] > 0)

        await program.until(has_failed)
        assert await program.metric("regproxy_upstream_failures") > 0
        assert await program.metric("regproxy_workers") == 2


async def test_s28_the_registry_port_tells_nothing_about_us(program: Program) -> None:
    paths = ["/metrics", "/healthz", "/readyz", "/api/v1/upstreams", "/api/v1/store/images", "/debug"]
    async with program.running():
        assert {path: (await program.ask(path))[0] for path in paths} == dict.fromkeys(paths, 404)
        assert (await program.admin("/v2/"))[0] == 404


async def test_p20_ready_means_that_somebody_accepts(program: Program) -> None:
    """Alive is the supervisor's loop, whatever has become of the workers."""
    async with program.running():
        for worker in program.workers():
            os.kill(worker, signal.SIGKILL)
        await program.until(lambda: program.log().count("a worker died") == 2)
        assert (await program.admin("/healthz"))[0] == 200
        await program.until(program.is_ready)


async def test_p13_nothing_is_wrong_with_asyncio_in_debug_mode(upstream: FakeRegistry, tmp_path: Path) -> None:
    """No task destroyed while pending, no exception never retrieved, no coroutine never awaited."""
    upstream.add_image(NAME, "1", [b"layer"])
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, BLOB)}"
    env = {"PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "error"}
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, env=env)
    async with program.running():
        await asyncio.gather(*(program.ask(MANIFEST) for _ in range(10)))
        await asyncio.gather(*(program.ask(path) for _ in range(10)))
        await raw(program.port, get(path), read=1000)
        old = set(program.workers())
        program.tell(signal.SIGHUP)
        await program.until(lambda: old.isdisjoint(program.workers()) and len(program.workers()) == 2)
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0
    wrong = [line for line in program.lines() if line["level"] in ("warning", "error", "critical") and "took" not in line["message"]]
    assert wrong == []


async def test_p15_a_machine_that_is_not_fit_is_told_of(tmp_path: Path) -> None:
    program = Program(tmp_path, {}, env={"AIOHTTP_NO_EXTENSIONS": "1"})
    async with program.running("prlimit", "--nofile=1024:1024"):
        pass
    reasons = [line["reason"] for line in program.lines() if line["message"] == "cannot serve at full capacity"]
    assert [reason.split()[:3] for reason in reasons] == [["only", "1024", "open"], ["aiohttp's", "C", "parser"]]


async def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        program = Program(tmp_path, {}, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        async with program.running():
            loop = asyncio.get_running_loop()
            assert await asyncio.wait_for(loop.sock_recv(line, 100), 300) == b"READY=1"
            program.tell(signal.SIGTERM)
            assert await asyncio.wait_for(loop.sock_recv(line, 100), 300) == b"STOPPING=1"
            assert await program.ended() == 0


async def test_systemd_is_told_that_the_loop_turns_where_it_asks(tmp_path: Path) -> None:
    """And nobody waits for it where it does not listen, which the kernel's queue of ten messages tells."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}  # without WATCHDOG_PID: whoever gets it
        program = Program(tmp_path, {}, env=env, workers=1)
        said: list[bytes] = []

        async def listen() -> None:
            while True:
                said.append(await asyncio.get_running_loop().sock_recv(line, 100))

        listening = asyncio.create_task(listen())
        async with program.running():
            await program.until(lambda: said.count(b"WATCHDOG=1") > 20)
            assert said.count(b"READY=1") == 1
            listening.cancel()
            for _ in range(20):
                await asyncio.sleep(0.05)
                assert (await program.admin("/healthz"))[0] == 200


async def test_a_socket_that_systemd_listens_at_is_served_by_all_workers(upstream: FakeRegistry, program: Program) -> None:
    """What the configuration says is not opened then."""
    upstream.add_image(NAME, "1", [b"layer"])
    program.settings["listen"] = f"{LOOPBACK}:1"
    async with program.running(sys.executable, "-c", ACTIVATED, str(program.port)):
        for worker in program.workers():
            os.kill(worker, signal.SIGSTOP)
            assert {(await program.ask(MANIFEST))[0] for _ in range(5)} == {200}
            os.kill(worker, signal.SIGCONT)


async def test_a_second_program_does_not_share_the_port(tmp_path: Path) -> None:
    """Sockets that may be shared would let it: each would get half of the clients, and neither would know."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = Program(tmp_path / "a", {}), Program(tmp_path / "b", {})
    second.settings["listen"] = first.settings["listen"]
    async with first.running():
        await second.start()
        assert await second.ended() == 1
    assert "Address already in use" in second.log()


def _is_alive(process: int) -> bool:
    """Tell whether there is more of it than an entry that nobody has asked for."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


async def test_d22_out_of_descriptors_is_503_and_passes(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Never 404, which a client would believe, and nothing that is held against the host."""
    paths = [f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, os.urandom(100_000))}" for _ in range(150)]
    upstream.misbehave(on("GET", "/blobs/"), Paced(50_000))
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=1)
    async with program.running("prlimit", "--nofile=256:256"):
        worker = program.workers()
        answers = await asyncio.gather(*(raw(program.port, get(path)) for path in paths))
        statuses = {answer.received[9:12] for answer in answers if answer.received}
        assert b"503" in statuses
        assert statuses <= {b"200", b"503"}
        assert await program.metric("regproxy_upstream_failures") == 0
        upstream.behave()
        assert {(await program.ask(path))[0] for path in paths[:20]} == {200}
        assert program.workers() == worker
