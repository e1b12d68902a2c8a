"""What most configurations do without is not imported, and what one needs is imported before workers are forked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from joserfc.jwk import RSAKey

from tests.fakes.authority import Authority
from tests.fakes.program import Program

KEY = "0123456789abcdef0123456789abcdef"
FEATURES = {"bcrypt", "cryptography", "joserfc", "obstore", "redis", "rich", "sigstore", "opentelemetry"}
TOKENS = {"clients": {"anonymous": True}, "insecure_credentials": True}

_IMPORTED = """
import sys
from pathlib import Path
import regproxy.cli.serve, regproxy.server.supervisor, regproxy.server.worker
from regproxy.config import load
from regproxy.wiring import import_features
import_features(load(Path(sys.argv[1]), {}))
print(*sys.modules)
"""
"""What a program has imported when it forks."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "regproxy.yaml"


def imported(file: Path) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _IMPORTED, file], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def libraries(process: int) -> Iterator[str]:
    """List the extension modules that a process has mapped, by their packages."""
    for line in Path(f"/proc/{process}/maps").read_text().splitlines():
        _, found, name = line.partition("/site-packages/")
        if found:
            yield name.partition("/")[0]


@pytest.mark.parametrize("name", ["node.yaml", "docker.yaml"])
def test_a_plain_configuration_imports_no_feature(name: str) -> None:
    found = imported(Path(__file__).parents[2] / "config" / name)
    assert "aiohttp" in found
    assert FEATURES & found == set()


@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        (TOKENS, {"joserfc.jwt", "bcrypt", "cryptography.hazmat.primitives.ciphers.aead"}),
        ({"redis": {"url": "redis://127.0.0.1:1/0", "key": KEY}}, {"redis.asyncio", "cryptography.hazmat.primitives.kdf.hkdf"}),
        ({"store": {"behind": {"url": "s3://bucket/regproxy", "key": KEY}}}, {"obstore", "cryptography.hazmat.primitives.kdf.hkdf"}),
        ({"fleet": {"peers": "dns://peers.example:5000", "key": KEY}}, {"cryptography.hazmat.primitives.ciphers.aead"}),
    ],
    ids=["clients", "redis", "behind", "fleet"],
)
def test_what_a_configuration_needs_is_there_before_workers_are_forked(settings: object, modules: set[str], file: Path) -> None:
    file.write_text(yaml.safe_dump(settings))
    assert modules <= imported(file)


def test_so_is_what_a_certificate_is_read_with(file: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server")
    file.write_text(yaml.safe_dump({"tls": {"certificate": str(pair.certificate), "key": str(pair.key)}}))
    found = imported(file)
    assert "cryptography.x509" in found
    assert not {"joserfc", "redis", "obstore"} & found


def test_so_is_what_a_github_app_signs_with(file: Path, tmp_path: Path) -> None:
    (tmp_path / "app.pem").write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    app = {"app_id": "1", "installation_id": "2", "private_key": str(tmp_path / "app.pem")}
    host = {"url": "https://ghcr.io", "credentials": {"github_app": app}}
    file.write_text(yaml.safe_dump({"upstreams": {"ghcr.io": {"hosts": [host]}}}))
    assert "joserfc.jwt" in imported(file)


async def test_a_program_that_serves_has_imported_no_feature(tmp_path: Path) -> None:
    program = Program(tmp_path, {})
    async with program.running():
        assert program.process is not None
        assert (await program.ask("/v2/"))[0] == 200
        for process in (program.process.pid, *program.workers()):
            found = set(libraries(process))
            assert "multidict" in found
            assert FEATURES & found == set()
