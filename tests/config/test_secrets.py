"""Secrets in the configuration."""

from pathlib import Path

import pytest

from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.upstream.transport import Proxy
from tests.config.loaded import NOTHING, SECRET, mistakes, settings, upstream


class TestSecrets:
    """They are in no mistake and in no output."""

    @pytest.mark.parametrize(
        "given",
        [
            "credentials: {username: u, password: [{secret}]}",
            "credentials: {username: [{secret}], password: p}",
            "credentials: {secret}",
            "credentials: {username: u, password:hunter2}",
            "credentials: {username: u, pasword: {secret}}",
            "passwd: {secret}",
            "hosts: [{url: 'https://u:{secret}@a'}]",
            "hosts: [{url: 'https://a/?token={secret}'}]",
            "aliases: ['{secret}']",
            "deny: '{secret}'",
            "credentials: {username: u, password: *hunter2}",
            "credentials: {username: u, password: !hunter2 x}",
        ],
        ids=[
            "a password that is a list",
            "a user name that is a list",
            "no mapping",
            "a space forgotten",
            "a misspelt key",
            "a made-up key",
            "user information",
            "a query",
            "an alias",
            "something else entirely",
            "a password that YAML takes for an alias",
            "a password that YAML takes for a tag",
        ],
    )
    def test_no_mistake_shows_one(self, file: Path, given: str) -> None:
        entry = given.replace("{secret}", "${SECRET}" if "'" in given else "'${SECRET}'")
        text = f"upstreams: {{quay.io: {{{entry}}}}}"
        told = "\n".join(mistakes(file, text, {"SECRET": SECRET}))
        assert told
        assert SECRET not in told
        assert "hunter2" not in told

    @pytest.mark.parametrize("half", ["username: u", "password: p", "username: u, password: ''"], ids=["user", "password", "empty"])
    def test_credentials_have_two_halves(self, file: Path, half: str) -> None:
        (line,) = mistakes(file, f"upstreams: {{quay.io: {{credentials: {{{half}}}}}}}")
        assert line.startswith("FILE: upstreams.quay.io.credentials.")
        assert line.endswith(("is missing", "must not be empty"))

    def test_a_user_and_a_file_do_not_go_together(self, file: Path) -> None:
        text = "upstreams: {quay.io: {credentials: {docker_config: /x, username: u}}}"
        assert mistakes(file, text) == ["FILE: upstreams.quay.io.credentials.username: does not go with docker_config, which has its own"]

    def test_n12_09_what_helpers_find_in_their_environment_is_hidden(self, file: Path) -> None:
        text = "upstreams: {quay.io: {credentials: {docker_config: /x, helper_env: {AWS_PROFILE: '${SECRET}'}}}}"
        found = settings(file, text, {"SECRET": SECRET})
        (host,) = upstream(found, "quay.io").hosts
        assert host.docker_config == DockerConfig(Path("/x"), ("quay.io",), (("AWS_PROFILE", Secret(SECRET)),))
        assert SECRET not in found.as_yaml() + repr(found) + repr(host)
        assert "AWS_PROFILE: '***'" in found.as_yaml()

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("docker_config: /x, helper_env: {'A B': c}", "is not the name"),
            ("username: u, password: p, helper_env: {A: c}", "is for the helpers"),
        ],
    )
    def test_n12_09_an_environment_is_for_helpers(self, file: Path, said: str, told: str) -> None:
        (line,) = mistakes(file, f"upstreams: {{quay.io: {{credentials: {{{said}}}}}}}")
        assert told in line

    @pytest.mark.parametrize(
        "url",
        [
            "redis://u:{secret}@r:1/0",
            "redis://:{secret}@r",
            "redis://{secret}@r",
            "redis://u:x:{secret}@r",
            "redis://r?password={secret}",
            "unix://u:{secret}@/r",
        ],
    )
    def test_a_redis_hides_its_password_and_its_key(self, file: Path, url: str) -> None:
        secret = "canary-redis-0123456789abcdef0123456789"
        found = settings(file, f"redis: {{url: '{url.format(secret=secret)}', key: {secret}}}")
        assert secret not in found.as_yaml() + repr(found)
        assert found.effective()["redis"]["key"] == "***"

    @pytest.mark.parametrize("key", ["short", "a" * 64, "0123456789abcdef" * 2 + ",short", ",".join(["0123456789abcdef" * 2] * 3)])
    def test_n12_18_a_key_that_can_be_guessed_is_a_mistake_that_does_not_show_it(self, file: Path, key: str) -> None:
        for text, environ in (
            (f"redis: {{url: 'redis://r', key: '{key}'}}", NOTHING),
            ("", {"REGPROXY__REDIS__KEY": key, "REGPROXY__REDIS__URL": "redis://r"}),
        ):
            (line,) = mistakes(file, text, environ)
            assert ("key" in line, "short" in line or "aaaa" in line or "0123" in line) == (True, False)

    @pytest.mark.parametrize(
        "url", ["redis://r:port/0", "redis://r/x", "redis://", "http://r", "redis://r?canary=1", "unix://", "redis://r:99999"]
    )
    def test_n13_07_a_redis_url_is_checked_at_the_start(self, file: Path, url: str) -> None:
        (line,) = mistakes(file, f"redis: {{url: '{url}'}}")
        assert "redis.url" in line

    @pytest.mark.parametrize("url", ["redis://u:1{0}?{0}=1@r", "redis://u:1?{0}=1@r:6379/0", "redis://u:1/{0}@r", "redis://u:1#{0}@r"])
    def test_n12_18_a_redis_url_whose_password_is_not_escaped_is_not_shown(self, file: Path, url: str) -> None:
        """The rest of it is read as a path, a query or a fragment."""
        (line,) = mistakes(file, f"redis: {{url: '{url.format(SECRET)}'}}")
        assert ("redis.url" in line, SECRET in line) == (True, False)

    @pytest.mark.parametrize("user", [SECRET, f"{SECRET}:"])
    def test_n13_17_a_user_of_a_proxy_without_a_password_is_a_secret(self, file: Path, user: str) -> None:
        found = settings(file, f"upstreams: {{quay.io: {{proxy: 'http://{user}@proxy.corp:3128'}}}}")
        (host,) = upstream(found, "quay.io").hosts
        assert "proxy: http://***@proxy.corp:3128" in found.as_yaml()
        assert SECRET not in found.as_yaml() + str(host.proxy)

    def test_n13_17_a_proxy_may_have_a_user_and_hides_it(self, file: Path) -> None:
        text = "upstreams: {quay.io: {proxy: 'http://us%40er:${SECRET}@proxy.corp:3128'}}"
        found = settings(file, text, {"SECRET": f"{SECRET}@/#?"})
        (host,) = upstream(found, "quay.io").hosts
        assert host.proxy == Proxy("http://proxy.corp:3128", Credential("us@er", Secret(f"{SECRET}@/#?")))
        assert SECRET not in found.as_yaml() + repr(found) + repr(host) + str(host.proxy)
        assert "proxy: http://us@er:***@proxy.corp:3128" in found.as_yaml()

    def test_n13_17_a_wrong_proxy_is_not_shown(self, file: Path) -> None:
        (line,) = mistakes(file, f"upstreams: {{quay.io: {{proxy: 'http:/u:{SECRET}'}}}}")
        assert SECRET not in line

    @pytest.mark.parametrize(("said", "comes_to"), [("$${x}", "${x}"), ("a$${x}b${Y}$", "a${x}by$"), ("$$${x}", "$${x}"), ("$x$$", "$x$$")])
    def test_n13_17_a_literal_reference_can_be_written(self, file: Path, said: str, comes_to: str) -> None:
        text = f"upstreams: {{quay.io: {{credentials: {{username: u, password: '{said}'}}}}}}"
        (host,) = upstream(settings(file, text, {"Y": "y"}), "quay.io").hosts
        assert host.credential == Credential("u", Secret(comes_to))

    def test_a_redis_needs_no_key(self, file: Path) -> None:
        assert settings(file, "redis: {url: 'redis://r'}").effective()["redis"] == {"url": "redis://r", "key": None, "timeout": "50ms"}

    def test_settings_and_their_text_hide_them(self, file: Path) -> None:
        text = 'upstreams: {quay.io: {credentials: {username: bob, password: "${SECRET}"}}}'
        found = settings(file, text, {"SECRET": SECRET})
        assert SECRET not in repr(found)
        assert SECRET not in found.as_yaml()
        assert found.effective()["upstreams"]["quay.io"]["hosts"][0]["credentials"] == {"username": "bob", "password": "***"}
