"""The system's authorities: read where a host needs them, and what is made without them accepts nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.policy.upstream.transport import Tls
from regproxy.upstream.hosts.authorities import context_of, system_context
from tests.fakes.authority import Authority

_IMPORTS = """
import ssl
from regproxy.upstream.hosts.authorities import system_context, unread
with unread():
    from aiohttp import connector
for context in (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED, system_context(), ssl.create_default_context()):
    print(context.cert_store_stats()["x509_ca"], context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname)
"""


def test_aiohttp_reads_no_authority_where_it_is_imported_and_so_accepts_nobody(tmp_path: Path) -> None:
    environment = {"SSL_CERT_FILE": str(Authority(tmp_path).ca), "SSL_CERT_DIR": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, "-c", _IMPORTS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 True", "0 False", "1 True", "1 True"]


def test_hosts_without_rules_of_their_own_share_what_was_read(tmp_path: Path) -> None:
    assert context_of(Tls()) is system_context()
    own = context_of(Tls(ca=str(Authority(tmp_path).ca)))
    assert own is not system_context()
    assert own.cert_store_stats()["x509_ca"] == 1


def test_those_of_the_system_are_read_again_once_they_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, folder = tmp_path / "bundle.pem", tmp_path / "folder"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    found = [system_context()]
    bundle.write_bytes(Authority(tmp_path).ca.read_bytes())
    found.append(system_context())
    folder.mkdir()
    found.append(system_context())
    bundle.unlink()
    found.append(system_context())
    assert [len(each.get_ca_certs()) for each in found] == [0, 1, 1, 0]
    assert len(set(found)) == 4
    assert system_context() is found[-1]
