"""Files and helpers on a real disk."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.policy.credential import Credential, CredentialKind, DockerConfig, Secret
from regproxy.policy.routing import Host
from regproxy.upstream.auth.credentials import Credentials

SECRET = "canary-helper-3c1d"


def written(path: Path, **document: object) -> Path:
    """Replace the file as kubelet and docker do: by renaming."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document))
    return new.replace(path)


def helper(directory: Path, body: str) -> None:
    """Install `docker-credential-test`, which leaves a line in `calls` each time it is run."""
    program = directory / "docker-credential-test"
    calls = f"import sys, json; server = sys.stdin.read(); open({str(directory / 'calls')!r}, 'a').write(f'{{sys.argv[1:]}} {{server}}\\n')"
    program.write_text(f"#!{sys.executable} -I\n{calls}\n{body}\n")
    program.chmod(0o755)


@asynccontextmanager
async def prepared(tmp_path: Path, read_timeout: float = 30.0) -> AsyncIterator[Credentials]:
    host = Host("https://a.io", docker_config=DockerConfig(tmp_path / "config.json", ("a.io",)))
    found = Credentials(host, f"{tmp_path}:{os.defpath}", read_timeout)
    try:
        yield found
    finally:
        await found.close()


async def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    async with prepared(tmp_path) as credentials:
        assert await credentials.find("x") is None
        for password in ("one", "two"):
            written(tmp_path / "config.json", auths={"a.io": {"username": "u", "password": password}})
            assert await credentials.find("x") == Credential("u", Secret(password))


@pytest.mark.parametrize("text", ["{", None], ids=["half written", "gone"])
async def test_a_file_that_cannot_be_read_leaves_what_was_known(tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "config.json"
    async with prepared(tmp_path) as credentials:
        written(path, auths={"a.io": {"username": "u", "password": SECRET}})
        known = await credentials.find("x")
        path.unlink()
        if text is not None:
            path.write_text(text)
        assert await credentials.find("x") == known != None  # noqa: E711
    assert "credentials cannot be read" in caplog.text
    assert SECRET not in caplog.text


async def test_a_file_that_hangs_leaves_the_loop_free_and_what_was_known(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    async with prepared(tmp_path, read_timeout=0.5) as credentials:
        written(path, auths={"a.io": {"username": "u", "password": SECRET}})
        known = await credentials.find("x")
        path.unlink()
        os.mkfifo(path)
        writer = os.open(path, os.O_RDWR)  # to read waits for what it writes
        try:
            found = await asyncio.gather(*(credentials.find("x") for _ in range(50)))
        finally:
            os.close(writer)
        assert set(found) == {known} != {None}


async def test_a_helper_is_asked_once_by_name_and_told_the_server_in_private(tmp_path: Path) -> None:
    helper(tmp_path, f"print(json.dumps({{'ServerURL': server, 'Username': '<token>', 'Secret': {SECRET!r}}}))")
    written(tmp_path / "config.json", credHelpers={"a.io": "test"})
    async with prepared(tmp_path) as credentials:
        found = await asyncio.gather(*(credentials.find(f"team/{number}") for number in range(100)))
    assert set(found) == {Credential("<token>", Secret(SECRET), CredentialKind.IDENTITY)}
    assert (tmp_path / "calls").read_text() == "['get'] a.io\n"


BODIES = [
    pytest.param("sys.exit(1)", id="fails"),
    pytest.param("print('credentials not found in native keychain')", id="knows nothing"),
    pytest.param("print('{')", id="breaks off"),
]


@pytest.mark.parametrize("body", BODIES)
async def test_a_helper_without_an_answer_leaves_the_word_to_the_next(tmp_path: Path, body: str) -> None:
    helper(tmp_path, body)
    written(tmp_path / "config.json", credHelpers={"a.io": "test"}, auths={"a.io": {"username": "u", "password": "p"}})
    async with prepared(tmp_path) as credentials:
        assert await credentials.find("x") == Credential("u", Secret("p"))


async def test_a_helper_that_is_not_installed_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "config.json", credsStore="nowhere")
    async with prepared(tmp_path) as credentials:
        assert await credentials.find("x") is None
    assert "credential helper not found" in caplog.text


async def test_n12_09_a_helper_inherits_path_and_home_and_what_is_configured(tmp_path: Path) -> None:
    """Our environment has the secrets of all upstreams in it, for `${NAME}`: a helper of one is not for the others'."""
    helper(tmp_path, "import os; print(json.dumps({'Username': ' '.join(sorted(os.environ)), 'Secret': os.environ['AWS_PROFILE']}))")
    written(tmp_path / "config.json", credHelpers={"a.io": "test"})
    environment = (("AWS_PROFILE", Secret(SECRET)), ("HOME", Secret("/elsewhere")))
    host = Host("https://a.io", docker_config=DockerConfig(tmp_path / "config.json", ("a.io",), environment))
    credentials = Credentials(host, f"{tmp_path}:{os.defpath}")
    found = await credentials.find("x")
    await credentials.close()
    assert found is not None
    assert (found.password, set(found.username.split()) - {"LC_CTYPE"}) == (Secret(SECRET), {"AWS_PROFILE", "HOME", "PATH"})


async def test_n12_09_a_helper_that_never_ends_its_answer_is_ended(tmp_path: Path) -> None:
    helper(tmp_path, "while True: sys.stdout.write('x' * 65536)")
    written(tmp_path / "config.json", credHelpers={"a.io": "test"}, auths={"a.io": {"username": "u", "password": "p"}})
    async with prepared(tmp_path) as credentials:
        assert await credentials.find("x") == Credential("u", Secret("p"))


async def test_n12_09_a_helper_that_fails_leaves_what_was_known(tmp_path: Path) -> None:
    """Where it cannot be run any more, the next request goes with what it said last, and not anonymously."""
    helper(tmp_path, "print(json.dumps({'Username': 'u', 'Secret': 'p'}))")
    written(tmp_path / "config.json", credHelpers={"a.io": "test"})
    async with prepared(tmp_path) as credentials:
        known = await credentials.find("x")
        credentials._told.clear()  # its time is over
        (tmp_path / "docker-credential-test").write_text("#!/nowhere\n")
        assert await credentials.find("x") == known == Credential("u", Secret("p"))


async def test_what_the_configuration_says_needs_no_file() -> None:
    credential = Credential("u", Secret("p"))
    assert await Credentials(Host("https://a.io", credential=credential)).find("x") == credential
