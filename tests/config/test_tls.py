"""Certificates and keys in the configuration."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from regproxy.config.tls import cautions
from tests.config.loaded import mistakes, settings
from tests.fakes.authority import Authority, Pair


class TestTls:
    """Certificates of our own ports."""

    @pytest.fixture
    def pair(self, tmp_path: Path) -> Pair:
        return Authority(tmp_path).issue("server")

    def test_a_pair_that_fits_is_taken_and_its_key_is_named_only(self, file: Path, pair: Pair) -> None:
        found = settings(file, f"tls: {{certificate: {pair.certificate}, key: {pair.key}}}")
        assert found.effective()["tls"] == {"certificate": str(pair.certificate), "key": str(pair.key), "client_ca": None}

    @pytest.mark.parametrize("key", ["tls", "admin_tls"])
    def test_a_key_that_does_not_fit_is_a_mistake(self, file: Path, tmp_path: Path, pair: Pair, key: str) -> None:
        other = Authority(tmp_path).issue("other")
        text = f"{key}: {{certificate: {pair.certificate}, key: {other.key}}}"
        assert mistakes(file, text) == [f"FILE: {key}: has a key that does not belong to the certificate"]

    def test_a_file_that_is_not_there_is_a_mistake(self, file: Path, pair: Pair) -> None:
        text = f"tls: {{certificate: {pair.certificate}, key: {pair.key}, client_ca: /nowhere.pem}}"
        assert mistakes(file, text) == ["FILE: tls: /nowhere.pem cannot be read: No such file or directory"]

    def test_a_file_that_is_no_certificate_is_a_mistake(self, file: Path, tmp_path: Path, pair: Pair) -> None:
        (tmp_path / "other.pem").write_text("not PEM")
        (line,) = mistakes(file, f"tls: {{certificate: {tmp_path}/other.pem, key: {pair.key}}}")
        assert line.startswith("FILE: tls: is not PEM that OpenSSL takes: ")

    def test_a_key_with_a_password_is_a_mistake(self, file: Path, pair: Pair) -> None:
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        form = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
        (line,) = mistakes(file, f"tls: {{certificate: {pair.certificate}, key: {pair.key}}}")
        assert line == "FILE: tls: has a key with a password: nobody is there to type it"

    def test_a_certificate_out_of_its_time_is_no_mistake_but_told_of(self, file: Path, tmp_path: Path) -> None:
        expired = Authority(tmp_path).issue("server", days=-1)
        found = settings(file, f"tls: {{certificate: {expired.certificate}, key: {expired.key}}}")
        assert found.tls is not None
        (told,) = cautions(found.tls, found.admin_tls)
        assert told.startswith(f"{expired.certificate} expired on ")
        before = found.tls.caution(datetime.now(UTC) - timedelta(days=30))
        assert before is not None
        assert before.startswith(f"{expired.certificate} is not valid before ")
