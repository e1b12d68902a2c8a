"""What no configuration says."""

from pathlib import Path

import pytest

from regproxy.config import Address, load
from regproxy.config.builtin import BUILTIN
from regproxy.config.sections.admin import admin_tokens
from regproxy.policy.clients.admin_roles import Holder, Role
from regproxy.policy.clients.client_quota import ClientQuota
from regproxy.policy.credential import Secret
from regproxy.policy.routing import Host, Routes, Upstream
from tests.config.loaded import mistakes, settings, upstream


class TestDefaults:
    """What no file says."""

    def test_no_file_and_an_empty_one_come_to_the_same(self, file: Path) -> None:
        assert settings(file, "") == settings(file, "# nothing\n") == load(None, {})

    def test_the_well_known_registries_are_served(self) -> None:
        found = load(None, {})
        assert [each.name for each in found.upstreams] == list(BUILTIN)
        assert upstream(found, "docker.io") == Upstream(
            name="docker.io",
            hosts=(Host("https://registry-1.docker.io", realms=frozenset({"auth.docker.io"})),),
            aliases=frozenset({"index.docker.io", "registry-1.docker.io"}),
        )
        assert upstream(found, "quay.io") == Upstream("quay.io", (Host("https://quay.io"),))

    def test_every_duration_is_in_seconds(self) -> None:
        found = load(None, {})
        timeouts = found.timeouts
        assert (timeouts.connect, timeouts.head, timeouts.silence, timeouts.revalidate) == (3.0, 5.0, 10.0, 0.9)
        assert (timeouts.slow_for, timeouts.min_rate, timeouts.progress) == (30.0, 16 * 1024, 15.0)
        assert found.drain == 30.0

    def test_the_registry_listens_everywhere_and_the_admin_port_only_here(self) -> None:
        found = load(None, {})
        assert (found.listen, found.admin_listen) == (Address("0.0.0.0", 5000), Address("127.0.0.1", 5001))

    def test_n12_05_names_of_the_admin_port_come_from_a_file_or_a_variable(self, file: Path) -> None:
        listed = settings(file, "admin_hosts: [Regproxy.Example., '[fd00::1]', 192.0.2.7]")
        assert listed.admin_hosts == ("regproxy.example", "fd00::1", "192.0.2.7")
        assert load(None, {"REGPROXY__ADMIN_HOSTS": "regproxy, metrics.example"}).admin_hosts == ("regproxy", "metrics.example")
        proxies = load(None, {"REGPROXY__TRUSTED_PROXIES__ADDRESSES": "10.0.0.0/8,192.168.0.1"}).trusted_proxies
        assert proxies is not None
        assert proxies.addresses == ("10.0.0.0/8", "192.168.0.1/32")
        assert mistakes(file, "admin_hosts: ['regproxy:5001']")

    def test_n16_04_what_is_open_and_whose_tokens_count(self, file: Path) -> None:
        token = "canary-0123456789abcdef"
        found = settings(file, f"{{admin_open: [health], admin_tokens: {{ops: {{token: {token}, role: operate}}}}}}")
        assert found.admin_open == {"health"}
        assert found.admin_tokens["ops"].role is Role.OPERATE
        assert token not in found.as_yaml() + repr(found)
        assert load(None, {"REGPROXY__ADMIN_OPEN": "health, reads"}).admin_open == {"health", "reads"}
        assert admin_tokens(found.admin_tokens).holder(token) == Holder("ops", Role.OPERATE)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("admin_open: everything", "admin_open"),
            ("admin_open: [all]", "is not one of"),
            ("admin_tokens: {ops: {token: canary-short}}", "ASCII characters"),
            ("admin_tokens: {ops: {token: canary-with a space in it}}", "ASCII characters"),
            ("admin_tokens: {ops: {token: canary-0123456789abcdef, role: admin}}", "is not one of"),
            ("admin_tokens: {a: {token: canary-0123456789abcdef}, b: {token: canary-0123456789abcdef}}", "is the token of a as well"),
            ("{admin_listen: 0.0.0.0:5001, admin_tokens: {a: {token: canary-0123456789abcdef}}}", "without TLS"),
            ("admin_writes: anywhere", "was renamed"),
        ],
    )
    def test_n16_04_mistakes_about_the_admin_port_are_told_without_its_tokens(self, file: Path, text: str, told: str) -> None:
        [line] = mistakes(file, text)
        assert told in line
        assert "canary" not in line

    @pytest.mark.parametrize("more", ["admin_listen: localhost:5001", "insecure_credentials: true"])
    def test_n16_04_tokens_without_tls_are_for_this_machine_or_for_those_who_say_so(self, file: Path, more: str) -> None:
        listen = "" if "listen" in more else "admin_listen: 0.0.0.0:5001, "
        assert settings(file, f"{{{listen}{more}, admin_tokens: {{a: {{token: canary-0123456789abcdef}}}}}}").admin_tokens

    def test_n16_05_quotas_are_read_in_their_order(self, file: Path) -> None:
        found = settings(file, "quotas: [{match: ci, rate: 1MiB, store: 20%}, {connections: 5}, {store: 1MiB}]")
        expected = [ClientQuota("ci", 1024 * 1024, store=0.2), ClientQuota("*", connections=5), ClientQuota("*", store=1024 * 1024)]
        assert [each.quota() for each in found.quotas] == expected
        assert [each["store"] for each in found.effective()["quotas"]] == ["20%", None, "1MiB"]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("quotas: [{match: ci}]", "limits nothing"),
            ("quotas: [{rate: 1KiB}]", "must be at least 65536"),
            ("quotas: [{store: 120%}]", "is not a percentage"),
            ("quotas: [{connections: 0}]", "must be at least 1"),
            ("quotas: [{rates: 1MiB}]", "rate"),
            ("quotas: {rate: 1MiB}", "quotas"),
        ],
    )
    def test_n16_05_a_quota_that_limits_nothing_or_everything_is_a_mistake(self, file: Path, text: str, told: str) -> None:
        [line] = mistakes(file, text)
        assert told in line

    def test_n18_11_a_secret_of_a_hook_is_taken_from_a_file_and_shown_nowhere(self, file: Path, tmp_path: Path) -> None:
        secret = "canary-0123456789abcdef"
        (tmp_path / "secret").write_text(f"{secret}\n")
        text = f"[{{source: quay, secret_file: {tmp_path / 'secret'}}}, {{source: github, secret: {secret}, upstream: ghcr.io}}]"
        found = settings(file, f"hooks: {text}")
        assert [each.hook().secret for each in found.hooks] == [Secret(secret)] * 2
        assert secret not in found.as_yaml() + repr(found)
        assert settings(file, "hooks: [{source: kraken, open: true}]").hooks[0].hook().secret is None

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[{source: harbor}]", "hooks[0]: needs a secret or a secret_file"),
            ("[{source: harbor, secret: canary-0123456789abcdef, open: true}]", "one of them only"),
            ("[{source: harbor, secret: canary}]", "hooks[0].secret: is not 20 to 1024 ASCII characters"),
            ("[{source: harbor, secret_file: /dev/null}]", "has a secret_file whose content is not 20 to 1024"),
            ("[{source: harbor, secret_file: /nowhere/at/all}]", "has a secret_file that cannot be read: No such file"),
            ("[{source: harbor, secret_file: FILE.binary}]", "is not ASCII text"),
            ("[{source: nobody, open: true}]", "is not one of"),
            (
                "[{source: harbor, open: true, upstream: harbor.example}]",
                "hooks[0].upstream: 'harbor.example' is not a configured upstream",
            ),
            ("[{source: harbor, open: true}, {source: quay, open: true}, {source: harbor, open: true}]", "cannot be told from hooks[0]"),
            ("[{source: harbor, secret: canary-0123456789abcdef}]\nadmin_listen: 0.0.0.0:5001", "sent to 0.0.0.0:5001 without TLS"),
        ],
    )
    def test_n18_11_mistakes_about_hooks_are_told_without_their_secrets(self, file: Path, text: str, told: str) -> None:
        Path(f"{file}.binary").write_bytes(b"\xff" * 32)
        [line] = mistakes(file, f"hooks: {text.replace('FILE', str(file))}")
        assert told in line
        assert "canary" not in line

    def test_n18_11_githubs_secret_is_never_sent_and_others_may_be_where_it_is_said(self, file: Path) -> None:
        listen = "admin_listen: 0.0.0.0:5001"
        assert settings(file, f"{{hooks: [{{source: github, secret: canary-0123456789abcdef}}], {listen}}}").hooks
        more = f"{listen}, insecure_credentials: true"
        assert settings(file, f"{{hooks: [{{source: quay, secret: canary-0123456789abcdef}}], {more}}}").hooks

    def test_the_upstreams_are_what_routing_takes(self) -> None:
        found = load(None, {})
        route = Routes(found.upstreams, found.default_upstream).find("nginx", [])
        assert str(route.repository) == "docker.io/library/nginx"
