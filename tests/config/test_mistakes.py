"""What an operator is told when the configuration cannot be used."""

import re
from pathlib import Path

import pytest

from regproxy.config import ConfigError, Timeouts, load
from regproxy.config.builtin import BUILTIN
from regproxy.config.timeouts import HostTimeouts, UpstreamTimeouts
from tests.config.loaded import mistakes, settings, upstream

HOSTS = "upstreams: {x.io: {hosts: [%s]}}"


def _renamed() -> list[tuple[str, str]]:
    """Read the settings that the changelog says were renamed, each with its new name."""
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    found: list[tuple[str, str]] = []
    for before, now in re.findall(r"^\| settings? (.*) \| (.*) \|$", changelog, re.MULTILINE):
        found += zip(re.findall(r"`(.*?)`", before), re.findall(r"`(.*?)`", now), strict=True)
    return found


@pytest.mark.parametrize(("before", "now"), _renamed())
def test_n15_07_a_setting_that_was_renamed_is_refused_with_its_new_name(before: str, now: str, tmp_path: Path) -> None:
    """As the changelog has it, in the file and in the environment."""
    file = tmp_path / "regproxy.yaml"
    *above, name = before.split(".")
    file.write_text(f"{above[0]}: {{{name}: 1}}" if above else f"{name}: {{}}")
    with pytest.raises(ConfigError) as caught:
        load(file, {"HOME": str(tmp_path)})
    assert caught.value.mistakes == [f"{file}: {before}: was renamed: it is {now.rpartition('.')[2]} now"]


def test_n15_07_what_was_renamed_for_all_was_renamed_for_each_host() -> None:
    for model in (Timeouts, HostTimeouts, UpstreamTimeouts):
        assert set(model.renamed.values()) <= set(model.model_fields)
        assert model.renamed["trickle"] == "slow_for"


class TestMistakes:
    """One clear line for each, saying where and what."""

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            pytest.param("stor: {}", "stor: unknown key; did you mean store?", id="an unknown key, and the nearest known one"),
            pytest.param(
                "timeouts: {zzz: 1s}",
                "timeouts.zzz: unknown key; known here: connect, headers, silence, slow_for, min_rate, progress, revalidate",
                id="one like none",
            ),
            pytest.param("Listen: a:1", "Listen: unknown key; did you mean listen?", id="a key in capitals"),
            pytest.param(
                "fleet: {peers: 'dns://r:5000', key: short}",
                "fleet.key: is no key: 32 random bytes of text at least, such as `openssl rand -hex 32` writes",
                id="n17_02 fleet with a short key",
            ),
            pytest.param(
                "fleet: {peers: 'dns://r', key: 0123456789abcdef0123456789abcdef}",
                "fleet.peers: 'dns://r' must be dns:// with the name of a headless Service and a port,"
                " such as dns://regproxy-peers.regproxy.svc:5000",
                id="n17_02 fleet by a name without a port",
            ),
            pytest.param("redis: {url: 'redis://r', key: ''}", "redis.key: must not be empty", id="redis with an empty key"),
            pytest.param(
                "redis: {url: r, key: 0123456789abcdef0123456789abcdef}",
                "redis.url: 'r' must be redis://, rediss:// or unix://, such as redis://127.0.0.1:6379/0",
                id="redis by name",
            ),
            pytest.param(
                "store: {max_size: 200}", "store.max_size: '200' is not a size such as 512MiB, 200GiB, 200GB or 2TiB", id="a bare size"
            ),
            pytest.param("store: {max_size: 0GiB}", "store.max_size: '0GiB' leaves room for nothing", id="no size at all"),
            pytest.param(
                "store: {high_watermark: 101%}", "store.high_watermark: '101%' is not a percentage such as 85%", id="more than everything"
            ),
            pytest.param("store: {high_watermark: 0.85}", "store.high_watermark: '0.85' is not a percentage such as 85%", id="a fraction"),
            pytest.param(
                "store: {high_watermark: 70%}", "store.low_watermark: is not below high_watermark (70%)", id="watermarks that cross"
            ),
            pytest.param("workers: 0", "workers: '0' is neither auto nor a number from 1 to 256", id="no process"),
            pytest.param("workers: many", "workers: 'many' is neither auto nor a number from 1 to 256", id="many processes"),
            pytest.param("workers: [1]", "workers: is neither auto nor a number from 1 to 256", id="a list of processes"),
            pytest.param("store: {kind: s3}", "store.kind: 's3' is not one of disk", id="another store"),
            pytest.param("store: {root: [a]}", "store.root: must be a path", id="a root that is a list"),
            pytest.param("store: {root: ~/x}", "store.root: '~/x' must be written in full: ~ is not expanded here", id="a tilde"),
            pytest.param("store: disk", "store: 'disk' must be a mapping (key: value)", id="a value for a group"),
            pytest.param("upstreams: [a]", "upstreams: must be a mapping (key: value)", id="a list of upstreams"),
            pytest.param("listen: 5000", "listen: '5000' is not an address such as 0.0.0.0:5000, [::]:5000 or *:5000", id="a port alone"),
            pytest.param(
                "listen: ::1:80", "listen: '::1:80' is not an address such as 0.0.0.0:5000, [::]:5000 or *:5000", id="IPv6 without []"
            ),
            pytest.param(
                "listen: a:65536", "listen: 'a:65536' is not an address such as 0.0.0.0:5000, [::]:5000 or *:5000", id="no such port"
            ),
            pytest.param("drain: 30", "drain: '30' is not a duration such as 250ms, 5s, 5m, 12h or 7d", id="no unit"),
            pytest.param("timeouts: {connect: 0s}", "timeouts.connect: '0s' must be more than 0s", id="no timeout at all"),
            pytest.param(
                "admin_listen: 0.0.0.0:5000",
                "admin_listen: '0.0.0.0:5000' is the address of listen as well: each needs its own",
                id="one address for both ports",
            ),
            pytest.param(
                "admin_listen: 127.0.0.1:5000",
                "admin_listen: '127.0.0.1:5000' is the address of listen as well: each needs its own",
                id="one address inside the other",
            ),
            pytest.param("upstreams: {x.io: {}}", "upstreams.x.io.hosts: is missing", id="no hosts"),
            pytest.param(
                HOSTS % "", "upstreams.x.io.hosts: no host is trusted to resolve: nobody could say what a tag means", id="no host"
            ),
            pytest.param(
                HOSTS % "{url: https://a, trust: [pull]}",
                "upstreams.x.io.hosts: no host is trusted to resolve: nobody could say what a tag means",
                id="only mirrors",
            ),
            pytest.param(
                HOSTS % "{url: https://a, trust: [pul]}",
                "upstreams.x.io.hosts[0].trust[0]: 'pul' is not one of pull, resolve",
                id="a misspelt trust",
            ),
            pytest.param(
                HOSTS % "{url: https://a}, {url: https://b, trust: []}",
                "upstreams.x.io.hosts[1].trust: must not be empty",
                id="trusted with nothing",
            ),
            pytest.param(
                HOSTS % "{url: https://a, prefix: /x}",
                "upstreams.x.io.hosts[0].prefix: '/x' is not the beginning of a repository name, such as dockerhub or mirrors/dockerhub",
                id="a prefix that is a path",
            ),
            pytest.param(
                HOSTS % "{url: https://a, private_networks: [10.0.0.1/8]}",
                "upstreams.x.io.hosts[0].private_networks[0]: '10.0.0.1/8' is not a network such as 10.0.0.0/8 or fd00::/8, "
                "without host bits",
                id="a network with host bits",
            ),
            pytest.param(
                "upstreams: {quay.io: {private_networks: [lan]}}",
                "upstreams.quay.io.private_networks[0]: 'lan' is not a network such as 10.0.0.0/8 or fd00::/8",
                id="a network that is none",
            ),
            pytest.param(
                "upstreams: {quay.io: {realms: ['https://a/token']}}",
                "upstreams.quay.io.realms[0]: 'https://a/token' is not a host name in lower case, with an optional :port",
                id="a realm that is a URL",
            ),
            pytest.param(
                "upstreams: {quay.io: {serve_as: ['a.io:443']}}",
                "upstreams.quay.io.serve_as[0]: 'a.io:443' must be written without the default ports :80 and :443",
                id="a default port",
            ),
            pytest.param(
                "upstreams: {quay.io: {tags: [{policy: Always}]}}",
                "upstreams.quay.io.tags[0].policy: 'Always' is not one of always, if-not-present, never, on-failure",
                id="a policy in capitals",
            ),
            pytest.param(
                "upstreams: {quay.io: {freeze: [{match: a, digest: 'sha256:1'}]}}",
                "upstreams.quay.io.freeze[0].digest: 'sha256:1' is not a digest such as sha256:2cf2...",
                id="frozen to no digest",
            ),
            pytest.param("upstreams: {quay.io: {deny: latest}}", "upstreams.quay.io.deny: 'latest' must be a list", id="no list"),
            pytest.param(
                "upstreams: {Q/io: {hosts: [{url: http://a}]}}",
                "upstreams.Q/io: is not a host name in lower case, with an optional :port",
                id="an upstream that is no host name",
            ),
            pytest.param(
                "default_upstream: x.io",
                f"default_upstream: 'x.io' is not a configured upstream: {', '.join(sorted(BUILTIN))}",
                id="an unknown default",
            ),
            pytest.param(
                "upstreams: {quay.io: {aliases: [index.docker.io]}}",
                "upstreams.quay.io.aliases[0]: 'index.docker.io' is already a name of upstream docker.io",
                id="an alias of two",
            ),
            pytest.param(
                "upstreams: {quay.io: {serve_as: [a.io]}, ghcr.io: {serve_as: [b.io, a.io]}}",
                "upstreams.ghcr.io.serve_as[1]: 'a.io' is already a name of upstream quay.io",
                id="a serve_as of two",
            ),
            pytest.param(
                "upstreams: {registry-1.docker.io: {hosts: [{url: http://a}]}}",
                "upstreams.registry-1.docker.io: is already a name of upstream docker.io",
                id="the name of one, the alias of another",
            ),
            pytest.param("log_level: ${LEVEL}", "log_level: environment variable LEVEL is not set", id="a variable that is not set"),
            pytest.param("log_level: info\nlog_level: info", "line 2: 'log_level' is given twice", id="a key twice"),
            pytest.param("store:\n  root: /a\n  root: /b", "line 3: 'root' is given twice", id="an inner key twice"),
            pytest.param("a: [", "line 1: expected the node content, but found '<stream end>'", id="no YAML"),
            pytest.param("store:\n\t root: /a", "line 2: found character '\\t' that cannot start any token", id="a tab"),
            pytest.param("- a", "must be a mapping (key: value)", id="a list as a whole"),
            pytest.param("a: 1\n---\nb: 1", "line 2: but found another document", id="two documents"),
            pytest.param("a: \x00", "is not YAML: unacceptable character #x0000: special characters are not allowed", id="binary"),
            pytest.param("{[a]: b}", "line 1: found unhashable key", id="a key that is a list"),
        ],
    )
    def test_each_is_one_clear_line(self, file: Path, text: str, line: str) -> None:
        assert mistakes(file, text) == [f"FILE: {line}"]

    @pytest.mark.parametrize(
        "url",
        ["mirror.example.cn", "ftp://a", "https://", "https://a b", "https://a:99999", "https://[::1", "https://a:b"],
        ids=["no scheme", "another scheme", "no host", "a space", "no such port", "half of IPv6", "no number"],
    )
    def test_a_url_is_http_and_a_host(self, file: Path, url: str) -> None:
        form = "must be http:// or https:// and a host, such as https://mirror.example.cn:5000"
        assert mistakes(file, HOSTS % f"{{url: '{url}'}}") == [f"FILE: upstreams.x.io.hosts[0].url: {url!r} {form}"]

    @pytest.mark.parametrize(
        "url", ["https://a/v2", "https://a/?b", "https://a?b", "https://a#b"], ids=["path", "both", "query", "fragment"]
    )
    def test_a_url_ends_at_its_host(self, file: Path, url: str) -> None:
        (line,) = mistakes(file, HOSTS % f"{{url: '{url}'}}")
        assert line.endswith("must not have a path, query or fragment (prefix is put in front of every repository)")

    @pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "https://[::1]:5000", "https://[fd00::1]", "http://registry"], ids=str)
    def test_a_url_may_be_any_host_and_port(self, file: Path, url: str) -> None:
        assert upstream(settings(file, HOSTS % f"{{url: '{url}'}}"), "x.io").hosts[0].url == url

    def test_all_are_told_at_once(self, file: Path) -> None:
        text = "listen: x\nlisten: y\ndrain: 1\nredis: {url: r}\nlog_level: ${A}\nupstreams: {x.io: {hosts: [{url: a, trust: [b]}]}}"
        assert len(mistakes(file, text, {"REGPROXY__STORE__KIND": "s3", "REGPROXY__LISTEN__X": "1"})) == 9

    def test_a_missing_file_is_said_to_be_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file or directory"):
            load(tmp_path / "none.yaml", {})

    def test_a_file_of_another_encoding_is_said_to_be_one(self, file: Path) -> None:
        file.write_bytes("log_level: ж".encode("utf-16"))
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            load(file, {})
