"""The configuration: what it comes to, and what an operator is told when it cannot be used."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from regproxy.config import Address, ConfigError, Settings, Timeouts, load
from regproxy.config.builtin import BUILTIN
from regproxy.config.environment import default_root
from regproxy.config.model import Model
from regproxy.config.settings import Document
from regproxy.config.timeouts import HostTimeouts, UpstreamTimeouts
from regproxy.config.tls import cautions
from regproxy.config.units import duration_text, seconds, share, share_text, size, size_text
from regproxy.oci.digest import Digest
from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.freshness import PullPolicy, TagPolicy
from regproxy.policy.routing import Host, Proxy, Routes, Trust, Upstream
from tests.fakes.authority import Authority, Pair

REFERENCE = Path(__file__).parents[1] / "config" / "regproxy.yaml"
SECRET = "canary horse battery staple"
NOTHING: Mapping[str, str] = {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "regproxy.yaml"


def settings(file: Path, text: str, environ: Mapping[str, str] = NOTHING) -> Settings:
    file.write_text(text)
    return load(file, environ)


def mistakes(file: Path, text: str, environ: Mapping[str, str] = NOTHING) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    return [line.replace(str(file), "FILE") for line in caught.value.mistakes]


def upstream(found: Settings, name: str) -> Upstream:
    return next(each for each in found.upstreams if each.name == name)


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
        assert (timeouts.connect, timeouts.head, timeouts.silence, timeouts.revalidate) == (3.0, 5.0, 10.0, 2.0)
        assert (timeouts.slow_for, timeouts.min_rate, timeouts.progress) == (30.0, 16 * 1024, 15.0)
        assert found.drain == 30.0

    def test_the_registry_listens_everywhere_and_the_admin_port_only_here(self) -> None:
        found = load(None, {})
        assert (found.listen, found.admin_listen) == (Address("0.0.0.0", 5000), Address("127.0.0.1", 5001))

    def test_n12_05_names_of_the_admin_port_come_from_a_file_or_a_variable(self, file: Path) -> None:
        listed = settings(file, "admin_hosts: [Regproxy.Example., '[fd00::1]', 192.0.2.7]")
        assert listed.admin_hosts == ("regproxy.example", "fd00::1", "192.0.2.7")
        assert load(None, {"REGPROXY__ADMIN_HOSTS": "regproxy, metrics.example"}).admin_hosts == ("regproxy", "metrics.example")
        assert mistakes(file, "admin_hosts: ['regproxy:5001']")
        assert mistakes(file, "admin_writes: everywhere")

    def test_the_upstreams_are_what_routing_takes(self) -> None:
        found = load(None, {})
        route = Routes(found.upstreams, found.default_upstream).find("nginx", [])
        assert str(route.repository) == "docker.io/library/nginx"


class TestReferenceFile:
    """config/regproxy.yaml: every setting, at its default, with its reason."""

    def test_it_says_what_no_file_says(self) -> None:
        assert load(REFERENCE, {}) == load(None, {})

    def test_no_setting_is_missing_from_it(self) -> None:
        text = REFERENCE.read_text()
        unmentioned = [".".join(path) for path in unsaid(Document, yaml.safe_load(text)) if f"{path[-1]}:" not in text]
        assert unmentioned == []

    def test_the_text_search_is_only_for_what_is_off_by_default(self) -> None:
        absent = {path[:-1] for path in unsaid(Document, yaml.safe_load(REFERENCE.read_text()))}
        assert absent == {
            ("upstreams", "hosts", "credentials"),
            ("upstreams", "credentials"),
            ("upstreams", "freeze"),
            ("upstreams", "timeouts"),
            ("upstreams", "hosts", "timeouts"),
            ("redis",),
            ("tls",),
            ("admin_tls",),
        }

    def test_every_setting_there_has_a_reason(self) -> None:
        lines = REFERENCE.read_text().splitlines()
        top = [index for index, line in enumerate(lines) if line[:1].isalpha()]
        explained = [index for index in top if lines[index - 1].startswith("#") or lines[index + 1].lstrip().startswith("#")]
        assert top == explained


def unsaid(model: type[Model], said: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List the fields of *model* that *said* does not have; the first of several entries, and docker.io, stand for all."""
    if isinstance(said, list):
        said = said[0] if said else {}
    mapping = said.get("docker.io", said) if isinstance(said, dict) else {}
    for name, field in model.model_fields.items():
        if name not in mapping:
            yield (*path, name)
        inner = model_in(field.annotation)
        if inner:
            yield from unsaid(inner, mapping.get(name), (*path, name))


def model_in(annotation: object) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


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


class TestUpstreams:
    """Registries, and what they are to the policy."""

    def test_a_listed_one_replaces_single_keys_of_the_built_in_one(self, file: Path) -> None:
        found = upstream(settings(file, "upstreams: {docker.io: {deny: ['*:latest']}}"), "docker.io")
        default = upstream(load(None, {}), "docker.io")
        assert found.deny == ("*:latest",)
        assert (found.hosts, found.aliases) == (default.hosts, default.aliases)

    def test_a_list_replaces_the_built_in_list_whole(self, file: Path) -> None:
        assert upstream(settings(file, "upstreams: {docker.io: {aliases: []}}"), "docker.io").aliases == frozenset()

    def test_a_new_one_is_added_to_the_built_in_ones(self, file: Path) -> None:
        found = settings(file, "upstreams: {harbor.example.cn:8443: {hosts: [{url: https://harbor.example.cn:8443}]}}")
        assert [each.name for each in found.upstreams] == [*BUILTIN, "harbor.example.cn:8443"]

    @pytest.mark.parametrize(
        "text",
        ["upstreams:", "upstreams: {quay.io: }", "upstreams: {docker.io: {aliases: , hosts: }}", "timeouts: {connect: }", "store:"],
        ids=["all upstreams", "an upstream", "built-in keys", "a value", "a group"],
    )
    def test_what_is_left_empty_is_at_its_default(self, file: Path, text: str) -> None:
        assert settings(file, text) == load(None, {})

    def test_the_example_of_the_contract_comes_to_policy_types(self, file: Path) -> None:
        text = """
        upstreams:
          docker.io:
            serve_as: [hub.cache.example.cn]
            hosts:
              - {url: "https://Mirror.example.cn/", trust: [pull], prefix: dockerhub, realms: [token.example.cn]}
              - url: https://registry-1.docker.io
            credentials: {username: "${DOCKER_USER}", password: "${DOCKER_PASSWORD}"}
            private_networks: [10.0.0.0/8]
            tags:
              - {match: "library/*:1.*", policy: if-not-present}
              - {fresh_for: 0s, stale_for: 12h}
        """
        found = upstream(settings(file, text, {"DOCKER_USER": "bob", "DOCKER_PASSWORD": SECRET}), "docker.io")
        mirror, hub = found.hosts
        assert mirror == Host(
            url="https://mirror.example.cn",
            trust=frozenset({Trust.PULL}),
            prefix="dockerhub",
            realms=frozenset({"token.example.cn", "auth.docker.io"}),
            private_networks=frozenset({"10.0.0.0/8"}),
        )
        assert hub == Host(
            url="https://registry-1.docker.io",
            credential=Credential("bob", Secret(SECRET)),
            realms=frozenset({"auth.docker.io"}),
            private_networks=frozenset({"10.0.0.0/8"}),
        )
        assert found.serve_as == frozenset({"hub.cache.example.cn"})
        assert found.tags == (TagPolicy("library/*:1.*", PullPolicy.IF_NOT_PRESENT), TagPolicy(fresh_for=0.0, stale_for=43_200.0))

    def test_credentials_may_be_in_a_file_that_knows_the_registry_by_all_its_names(self, file: Path) -> None:
        text = """
        upstreams:
          docker.io:
            hosts: [{url: "https://mirror:5000", trust: [pull], credentials: {docker_config: /m}}, {url: https://registry-1.docker.io}]
            credentials: {docker_config: /etc/config.json}
        """
        found = settings(file, text)
        mirror, hub = upstream(found, "docker.io").hosts
        names = ("registry-1.docker.io", "docker.io", "index.docker.io")
        assert mirror.docker_config == DockerConfig(Path("/m"), ("mirror:5000",))
        assert hub.docker_config == DockerConfig(Path("/etc/config.json"), names)
        assert settings(file, found.as_yaml()) == found

    def test_a_mirror_trusted_only_to_pull_is_not_given_the_registrys_password(self, file: Path) -> None:
        text = """
        upstreams:
          quay.io:
            hosts: [{url: https://mirror, trust: [pull]}, {url: https://quay.io}]
            credentials: {username: bob, password: s3cret}
        """
        mirror, registry = upstream(settings(file, text), "quay.io").hosts
        assert mirror.credential is None
        assert registry.credential == Credential("bob", Secret("s3cret"))

    def test_a_hosts_own_credentials_go_before_the_upstreams(self, file: Path) -> None:
        text = """
        upstreams:
          quay.io:
            hosts: [{url: https://quay.io, credentials: {username: own, password: mine}}]
            credentials: {username: bob, password: s3cret}
        """
        (host,) = upstream(settings(file, text), "quay.io").hosts
        assert host.credential == Credential("own", Secret("mine"))

    def test_a_name_may_be_its_own_alias_and_serve_as(self, file: Path) -> None:
        found = settings(file, "upstreams: {quay.io: {aliases: [quay.io], serve_as: [quay.io]}}")
        assert upstream(found, "quay.io").serve_as == frozenset({"quay.io"})


class TestValues:
    """What a single value may be."""

    @pytest.mark.parametrize(
        ("text", "value"), [("250ms", 0.25), ("5s", 5.0), ("1.5s", 1.5), ("5m", 300.0), ("12h", 43_200.0), ("7d", 604_800.0), ("0s", 0.0)]
    )
    def test_a_duration_has_a_number_and_a_unit(self, text: str, value: float) -> None:
        assert seconds(text) == value

    @given(st.one_of(st.integers(0, 10**9).map(float), st.integers(0, 10**7).map(lambda number: number / 1000)))
    def test_a_duration_reads_as_it_was_written(self, duration: float) -> None:
        assert seconds(duration_text(duration)) == pytest.approx(duration, rel=1e-12)

    @pytest.mark.parametrize(("text", "count"), [("1B", 1), ("1.5KiB", 1536), ("200GiB", 200 * 2**30), ("2TiB", 2 * 2**40)])
    def test_a_size_has_a_number_and_a_binary_unit(self, text: str, count: int) -> None:
        assert size(text) == count

    @given(st.integers(1, 2**50))
    def test_a_size_reads_as_it_was_written(self, count: int) -> None:
        assert size(size_text(count)) == count

    @given(st.integers(1, 100))
    def test_a_share_reads_as_it_was_written(self, percent: int) -> None:
        assert share(share_text(percent / 100)) == percent / 100

    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("127.0.0.1:0", Address("127.0.0.1", 0)),
            ("'[::]:5000'", Address("::", 5000)),
            ("localhost:80", Address("localhost", 80)),
        ],
        ids=["any free port", "IPv6", "a name"],
    )
    def test_an_address_is_a_host_and_a_port(self, file: Path, text: str, address: Address) -> None:
        found = settings(file, f"listen: {text}").listen
        assert found == address
        assert str(found) == text.strip("'")

    @pytest.mark.parametrize("text", ["no", "0123", "12:30", "1e3", "2026-01-01"], ids=str)
    def test_yaml_does_not_guess_what_a_password_is(self, file: Path, text: str) -> None:
        found = settings(file, f"upstreams: {{quay.io: {{credentials: {{username: {text}, password: {text}}}}}}}")
        assert upstream(found, "quay.io").hosts[0].credential == Credential(text, Secret(text))

    def test_what_a_variable_holds_is_text_not_yaml(self, file: Path) -> None:
        value = "{a: ${HOME}, *b} # c"
        text = 'upstreams: {quay.io: {credentials: {username: u, password: "x${SECRET}y"}}}'
        found = settings(file, text, {"SECRET": value})
        assert upstream(found, "quay.io").hosts[0].credential == Credential("u", Secret(f"x{value}y"))

    def test_anchors_and_merges_work(self, file: Path) -> None:
        text = "upstreams:\n  quay.io: &mine {tags: [{fresh_for: 1s}], deny: [a]}\n  ghcr.io:\n    <<: *mine\n    deny: [b]\n"
        found = upstream(settings(file, text), "ghcr.io")
        assert (found.tags[0].fresh_for, found.deny) == (1.0, ("b",))

    def test_one_process_may_be_asked_for(self, file: Path) -> None:
        assert [settings(file, f"workers: {count}").workers for count in (1, "'16'", "auto")] == [1, 16, "auto"]


class TestEnvironment:
    """`REGPROXY__...` overrides any key."""

    @pytest.mark.parametrize(
        "name",
        [
            "REGPROXY__UPSTREAMS__DOCKER.IO__HOSTS__0__PREFIX",
            "REGPROXY__UPSTREAMS__DOCKER_IO__HOSTS__0__PREFIX",
            "regproxy__upstreams__docker.io__hosts__0__prefix",
        ],
        ids=["dots as they are", "dots as a shell can write them", "lower case"],
    )
    def test_a_variable_overrides_a_key_of_a_built_in_upstream(self, name: str) -> None:
        assert upstream(load(None, {name: "hub"}), "docker.io").hosts[0].prefix == "hub"

    def test_a_variable_goes_before_the_file(self, file: Path) -> None:
        environ = {"REGPROXY__STORE__ROOT": "/b", "REGPROXY__TIMEOUTS__CONNECT": "1s"}
        found = settings(file, "store: {root: /a}\ntimeouts: {headers: 1s}", environ)
        assert (found.store.root, found.timeouts.connect, found.timeouts.headers) == (Path("/b"), 1.0, 1.0)

    def test_an_empty_variable_counts_as_not_set(self) -> None:
        assert load(None, {"REGPROXY__LOG_LEVEL": ""}) == load(None, {})

    def test_a_value_is_taken_as_it_stands(self) -> None:
        prefix = "REGPROXY__UPSTREAMS__QUAY.IO__CREDENTIALS__"
        found = load(None, {prefix + "USERNAME": "bob", prefix + "PASSWORD": "'${HOME}' #1"})
        assert upstream(found, "quay.io").hosts[0].credential == Credential("bob", Secret("'${HOME}' #1"))

    def test_an_exact_key_goes_before_a_similar_one(self, file: Path) -> None:
        text = "upstreams: {a-b.c: {hosts: [{url: http://x}]}, a.b.c: {hosts: [{url: http://y}]}}"
        found = settings(file, text, {"REGPROXY__UPSTREAMS__A.B.C__HOSTS__0__URL": "http://z"})
        assert [upstream(found, name).hosts[0].url for name in ("a-b.c", "a.b.c")] == ["http://x", "http://z"]

    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("REGPROXY__LOG_LEVEL", "loud", "REGPROXY__LOG_LEVEL: log_level: 'loud' is not one of debug, info, warning, error"),
            ("REGPROXY__STORE__ROT", "/x", "REGPROXY__STORE__ROT: store.rot: unknown key; did you mean root?"),
            ("REGPROXY__STOER__ROOT", "/x", "REGPROXY__STOER__ROOT: stoer: unknown key; did you mean store?"),
            (
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__1__URL",
                "http://x",
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__1__URL: '1' is not the number of an item: the list has 1, counted from 0",
            ),
            (
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__0__URL__X",
                "x",
                "REGPROXY__UPSTREAMS__QUAY.IO__HOSTS__0__URL__X: there is nothing to put 'x' into: its parent is a single value",
            ),
        ],
        ids=["a bad value", "an unknown key", "an unknown group", "no such item", "below a value"],
    )
    def test_a_mistake_names_its_variable(self, name: str, value: str, line: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load(None, {name: value})
        assert caught.value.mistakes == [line]


class TestStoreRoot:
    """Where content is kept when nobody says."""

    def test_it_is_the_systems_place_where_that_can_be_made(self, tmp_path: Path) -> None:
        assert default_root({"HOME": "/home/bob"}, tmp_path / "lib" / "regproxy") == tmp_path / "lib" / "regproxy"

    @pytest.mark.parametrize(
        ("environ", "root"),
        [
            ({"HOME": "/home/bob"}, "/home/bob/.cache/regproxy"),
            ({"HOME": "/home/bob", "XDG_CACHE_HOME": "/fast"}, "/fast/regproxy"),
            ({"HOME": "/home/bob", "XDG_CACHE_HOME": "fast"}, "/home/bob/.cache/regproxy"),
        ],
        ids=["no XDG", "XDG", "XDG ignores relative paths"],
    )
    def test_it_is_the_users_cache_directory_otherwise(self, file: Path, environ: Mapping[str, str], root: str) -> None:
        file.touch()
        assert default_root(environ, file / "nothing can be made below a file") == Path(root)

    def test_without_a_home_the_systems_place_is_all_there_is(self, file: Path) -> None:
        file.touch()
        assert default_root({}, file / "lib") == file / "lib"


HOSTS = "upstreams: {x.io: {hosts: [%s]}}"


def _renamed() -> list[tuple[str, str]]:
    """Read the settings that the changelog says were renamed, each with its new name."""
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text()
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


class TestEffective:
    """What `regproxy check` prints."""

    def test_it_is_a_configuration_that_comes_to_itself(self, file: Path) -> None:
        text = """
        listen: "[::1]:0"
        drain: 90s
        timeouts: {connect: 250ms}
        upstreams:
          quay.io: {serve_as: [a.io], hosts: [{url: http://a, prefix: b}], tags: [{policy: never}], deny: ["*"]}
          ghcr.io: {freeze: [{match: a}, {match: "b:1", digest: "%s"}]}
        """
        found = settings(file, text % Digest.of(b""))
        assert settings(file, found.as_yaml()) == found

    def test_it_can_be_said_in_json(self) -> None:
        found = load(None, {}).effective()
        assert json.loads(json.dumps(found)) == found
        assert found["upstreams"]["docker.io"]["tags"] == [
            {"match": "*", "policy": "always", "fresh_for": "5m", "stale_for": "7d", "missing_for": "10s"}
        ]


class TestTimeouts:
    """Those of one upstream, and of one of its hosts."""

    TEXT = """
    timeouts: {silence: 7s}
    upstreams:
      slow.test:
        hosts: [{url: https://slow.test}]
        timeouts: {headers: 40s, progress: 1m, min_rate: 1KiB}
      pair.test:
        hosts: [{url: https://mirror, trust: [pull], timeouts: {headers: 1s}}, {url: https://pair.test}]
        timeouts: {headers: 2s}
      alone.test: {hosts: [{url: https://alone.test}]}
    """

    def _of(self, found: Settings, name: str) -> list[Timeouts]:
        one = upstream(found, name)
        is_alone = len(one.hosts) == 1
        return [found.timeouts.of(dict(one.timeouts + host.timeouts), is_alone=is_alone) for host in one.hosts]

    def test_n13_21_the_nearest_one_counts(self, file: Path) -> None:
        found = settings(file, self.TEXT)
        (slow,), (mirror, registry) = self._of(found, "slow.test"), self._of(found, "pair.test")
        assert (slow.head, slow.silence, slow.progress, slow.min_rate) == (40.0, 7.0, 60.0, 1024)
        assert (mirror.head, registry.head) == (1.0, 2.0)
        assert settings(file, found.as_yaml()) == found

    def test_n13_21_the_only_host_is_waited_for_as_containerd_does(self, file: Path) -> None:
        (alone,) = self._of(settings(file, self.TEXT), "alone.test")
        assert alone.head == 30.0

    def test_n13_21_what_somebody_says_counts_for_the_only_host_too(self, file: Path) -> None:
        (told,) = self._of(settings(file, self.TEXT.replace("silence: 7s", "headers: 5s")), "alone.test")
        assert told.head == 5.0

    def test_n13_21_a_mistake_is_told(self, file: Path) -> None:
        text = "upstreams: {a.test: {hosts: [{url: https://a.test, timeouts: {progress: 1s}}]}}"
        (line,) = mistakes(file, text)
        assert "timeouts.progress: unknown key" in line
