"""Who may pull, in the configuration."""

from pathlib import Path

import pytest

from tests.config.loaded import mistakes, settings, upstream


class TestClients:
    """Who may use the registry port."""

    HASH = "$2y$05$" + "c" * 53

    @pytest.fixture
    def users(self, tmp_path: Path) -> Path:
        (tmp_path / "htpasswd").write_text(f"ann:{self.HASH}\n")
        return tmp_path / "htpasswd"

    def test_credentials_need_tls_beyond_loopback(self, file: Path, users: Path) -> None:
        (line,) = mistakes(file, f"clients: {{htpasswd: {users}}}")
        assert line.startswith("FILE: tls: is missing: credentials are not taken beyond loopback in clear text")
        for more in ("listen: 127.0.0.1:5000", "listen: '[::1]:5000'", "insecure_credentials: true"):
            assert settings(file, f"clients: {{htpasswd: {users}}}\n{more}").token_key

    def test_a_key_of_tokens_is_the_same_for_all_of_a_process_and_never_shown(self, file: Path, users: Path) -> None:
        text = f"clients: {{htpasswd: {users}}}\ninsecure_credentials: true\n"
        assert settings(file, text).token_key == settings(file, text).token_key
        assert settings(file, text).effective()["token_key"] is None
        assert settings(file, f"{text}token_key: {'canary0123456789' * 2}").effective()["token_key"] == "***"
        assert settings(file, f"token_key: {'canary0123456789' * 2}").token_key is None
        assert "canary" not in str(mistakes(file, f"{text}token_key: canary"))

    def test_replicas_need_a_key(self, file: Path, users: Path) -> None:
        text = f"clients: {{htpasswd: {users}}}\ninsecure_credentials: true\nredis: {{url: 'redis://x'}}"
        (line,) = mistakes(file, text)
        assert line.startswith("FILE: token_key: is missing: replicas need the same one")

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("{}", "clients: names nobody"),
            ("{htpasswd: /nowhere}", "clients.htpasswd: '/nowhere' cannot be read: No such file or directory"),
            ("{tokens: /nowhere}", "clients.tokens: '/nowhere' cannot be read: No such file or directory"),
            ("{anonymous: true, htpasswd_allow: {ann: [x]}}", "clients.htpasswd_allow: is for the users of htpasswd"),
            ("{certificates: [{}]}", "clients.certificates: needs tls.client_ca"),
            ("{jwt: {issuer: 'http://issuer.example', audience: x}}", "clients.jwt[0].issuer: must be https"),
            ("{jwt: {issuer: nonsense, audience: x}}", "clients.jwt[0].issuer: is not a URL"),
            ("{jwt: {issuer: 'https://issuer.example'}}", "clients.jwt[0].audience: is missing"),
            ("{jwt: {issuer: 'https://issuer.example', audience: x, subjects: []}}", "clients.jwt[0].subjects: must not be empty"),
        ],
    )
    def test_a_mistake_is_named(self, file: Path, text: str, mistake: str) -> None:
        (line,) = mistakes(file, f"clients: {text}\ninsecure_credentials: true")
        assert line.startswith(f"FILE: {mistake}")

    @pytest.mark.parametrize(
        "text",
        [
            "canary-canary-canary",
            "{ci: canary-canary-canary}",
            "{ci: {token: canary}}",
            "[",
            "{a: {token: &x canary-0123456789}, b: {token: *x}}",
        ],
    )
    def test_a_file_of_tokens_that_cannot_be_used_is_a_mistake_that_shows_nothing_of_it(
        self, file: Path, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "tokens.yaml").write_text(text)
        (line,) = mistakes(file, f"clients: {{tokens: {tmp_path}/tokens.yaml}}\ninsecure_credentials: true")
        assert "cannot be used" in line
        assert "canary" not in line

    def test_a_file_without_a_user_is_a_mistake(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "htpasswd").write_text("ann:canary\n")
        (line,) = mistakes(file, f"clients: {{htpasswd: {tmp_path}/htpasswd}}\ninsecure_credentials: true")
        assert "has no user with a bcrypt hash (line 1: no bcrypt hash" in line
        assert "canary" not in line

    @pytest.mark.parametrize(
        ("host", "mistake"),
        [
            ("{url: 'http://cache:5000', kind: cache}", "is trusted to resolve, and cannot be asked what a client may pull"),
            ("{url: 'http://cache:5000', kind: cache, forward_credentials: true}", ".url: 'http://cache:5000' must be https"),
            ("{url: 'https://r', forward_credentials: true}", "is for hosts of kind: cache"),
        ],
    )
    def test_what_would_prove_everything_or_tell_a_credential_is_a_mistake(self, file: Path, host: str, mistake: str) -> None:
        text = f"listen: 127.0.0.1:5000\nupstreams: {{quay.io: {{access: proven, hosts: [{host}]}}}}"
        (line,) = mistakes(file, text)
        assert line.startswith("FILE: upstreams.quay.io.hosts[0]")
        assert mistake in line

    def test_a_cache_that_proves_or_only_gives_content_is_right(self, file: Path) -> None:
        hosts = "[{url: 'https://c', kind: cache, forward_credentials: true}, {url: 'http://d', kind: cache, trust: [pull]}]"
        found = settings(file, f"listen: 127.0.0.1:5000\nupstreams: {{quay.io: {{access: proven, hosts: {hosts}}}}}")
        assert [host.is_shown_credentials for host in upstream(found, "quay.io").hosts] == [True, False]

    def test_proofs_need_tls_beyond_loopback(self, file: Path) -> None:
        (line,) = mistakes(file, "upstreams: {quay.io: {access: proven}}")
        assert line.startswith("FILE: tls: is missing")
