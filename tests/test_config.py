"""The configuration: what it comes to, and what an operator is told when it cannot be used."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, get_args

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from regproxy.config import Address, ConfigError, Settings, Timeouts, load
from regproxy.config.builtin import BUILTIN
from regproxy.config.environment import default_root
from regproxy.config.model import Model
from regproxy.config.sections.admin import admin_tokens
from regproxy.config.settings import Document
from regproxy.config.timeouts import HostTimeouts, UpstreamTimeouts
from regproxy.config.tls import cautions
from regproxy.config.units import duration_text, seconds, share, share_text, size, size_text
from regproxy.oci.digest import Digest
from regproxy.policy.clients.admin_roles import Holder, Role
from regproxy.policy.clients.client_quota import ClientQuota
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import (
    Aliyun,
    AwsIdentity,
    Azure,
    AzureIdentity,
    Ecr,
    GithubApp,
    Google,
    GoogleIdentity,
    Huawei,
    HuaweiLogin,
    Provider,
    Tencent,
)
from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.freshness import PullPolicy, TagPolicy
from regproxy.policy.requirement import Requirement, RequireMode
from regproxy.policy.routing import Host, Routes, Trust, Upstream
from regproxy.policy.upstream.transport import Proxy
from tests.fakes.authority import Authority, Pair
from tests.trust.signing import Signer

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
            ("admin_tokens",),
            ("warm",),
            ("hooks",),
            ("hooks", "rate"),
            ("quotas",),
            ("upstreams", "hosts", "credentials"),
            ("upstreams", "hosts", "credentials", "aliyun"),
            ("upstreams", "hosts", "credentials", "azure"),
            ("upstreams", "hosts", "credentials", "ecr"),
            ("upstreams", "hosts", "credentials", "google"),
            ("upstreams", "hosts", "credentials", "tencent"),
            ("upstreams", "hosts", "credentials", "huawei"),
            ("upstreams", "hosts", "credentials", "github_app"),
            ("upstreams", "hosts", "credentials", "provider"),
            ("upstreams", "credentials"),
            ("upstreams", "credentials", "aliyun"),
            ("upstreams", "credentials", "azure"),
            ("upstreams", "credentials", "ecr"),
            ("upstreams", "credentials", "google"),
            ("upstreams", "credentials", "tencent"),
            ("upstreams", "credentials", "huawei"),
            ("upstreams", "credentials", "github_app"),
            ("upstreams", "credentials", "provider"),
            ("upstreams", "freeze"),
            ("upstreams", "require"),
            ("upstreams", "require", "identities"),
            ("upstreams", "timeouts"),
            ("upstreams", "hosts", "timeouts"),
            ("store", "behind"),
            ("redis",),
            ("fleet",),
            ("tls",),
            ("admin_tls",),
            ("trusted_proxies",),
            ("clients",),
            ("clients", "jwt"),
            ("clients", "certificates"),
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

    def test_n19_01_a_provider_is_told_the_registry_by_its_name_and_a_mirror_by_its_address(self, file: Path) -> None:
        text = """
        upstreams:
          docker.io:
            hosts: [{url: "https://mirror:5000", trust: [pull], credentials: {provider: {command: m}}}, {url: https://registry-1.docker.io}]
            credentials:
              provider: {command: /bin/p, args: [a], env: {KEY: "${SECRET}"}, match_images: ["*.io"], default_cache_duration: 6h}
        """
        found = settings(file, text, {"SECRET": SECRET})
        mirror, hub = upstream(found, "docker.io").hosts
        names = ("docker.io", "index.docker.io", "registry-1.docker.io")
        assert mirror.credential_source == Provider("m", ("mirror:5000",))
        assert hub.credential_source == Provider("/bin/p", names, ("a",), (("KEY", Secret(SECRET)),), ("*.io",), 21_600.0)
        assert SECRET not in found.as_yaml() + repr(found)
        shown = settings(file, found.as_yaml())
        assert shown.as_yaml() == found.as_yaml()

    CHINA = "https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    EKS: ClassVar = {
        "AWS_ROLE_ARN": "arn:aws-cn:iam::123456789012:role/r",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/irsa",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/pod",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }

    @pytest.mark.parametrize("identity", ["keys", "web_identity", "pod_identity", "instance"])
    def test_n19_01_ecr_takes_from_the_environment_and_from_the_hosts_name_what_the_file_does_not_say(
        self, file: Path, identity: str
    ) -> None:
        text = f"upstreams: {{ecr.cn: {{hosts: [{{url: '{self.CHINA}'}}], credentials: {{ecr: {{identity: {identity}}}}}}}}}"
        found = settings(file, text, self.EKS)
        (host,) = upstream(found, "ecr.cn").hosts
        source = host.credential_source
        assert isinstance(source, Ecr)
        assert (source.region, source.endpoint) == ("cn-north-1", "https://api.ecr.cn-north-1.amazonaws.com.cn")
        told = {
            "keys": source.key == AccessKey("AKIA", Secret(SECRET)),
            "web_identity": (source.sts_endpoint, source.token_file) == ("https://sts.cn-north-1.amazonaws.com.cn", Path("/var/run/irsa")),
            "pod_identity": (source.credentials_url, source.token_file)
            == (self.EKS["AWS_CONTAINER_CREDENTIALS_FULL_URI"], Path("/var/run/pod")),
            "instance": source.metadata_endpoint == "http://169.254.169.254",
        }
        assert [name for name, is_so in told.items() if is_so] == [identity]
        assert SECRET not in found.as_yaml() + repr(found)
        assert settings(file, found.as_yaml()).as_yaml() == found.as_yaml()

    def test_n19_01_google_and_azure_take_from_the_environment_what_the_file_does_not_say(self, file: Path, tmp_path: Path) -> None:
        config = tmp_path / "federation.json"
        federation = {"type": "external_account", "audience": "a", "subject_token_type": "jwt", "token_url": "https://sts/"}
        config.write_text(json.dumps({**federation, "credential_source": {"file": "/t"}}))
        environ = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(config),
            "AZURE_CLIENT_ID": "client",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_FEDERATED_TOKEN_FILE": "/var/run/azure",
        }
        text = """
        upstreams:
          gar: {hosts: [{url: https://eu-docker.pkg.dev}], credentials: {google: {identity: metadata}}}
          gcr: {hosts: [{url: https://eu.gcr.io}], credentials: {google: {identity: federation}}}
          acr: {hosts: [{url: https://a.azurecr.io}], credentials: {azure: {identity: managed}}}
          acr.cn: {hosts: [{url: https://a.azurecr.cn}], credentials: {azure: {identity: workload}}}
        """
        found = settings(file, text, environ)
        sources = {name: upstream(found, name).hosts[0].credential_source for name in ("gar", "gcr", "acr", "acr.cn")}
        assert sources == {
            "gar": Google(GoogleIdentity.METADATA, "default", "http://169.254.169.254"),
            "gcr": Google(GoogleIdentity.FEDERATION, config_file=config),
            "acr": Azure(AzureIdentity.MANAGED, "https://containerregistry.azure.net", metadata_endpoint="http://169.254.169.254"),
            "acr.cn": Azure(
                AzureIdentity.WORKLOAD,
                "https://management.chinacloudapi.cn",
                "client",
                "tenant",
                Path("/var/run/azure"),
                "https://login.chinacloudapi.cn",
            ),
        }
        assert settings(file, found.as_yaml()).as_yaml() == found.as_yaml()

    def test_n19_01_clouds_of_china_and_github_take_what_the_hosts_name_says(self, file: Path, tmp_path: Path) -> None:
        pem = tmp_path / "app.pem"
        pem.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
        keys = "access_key_id: id, secret_access_key: '${SECRET}'"
        text = f"""
        upstreams:
          aliyun: {{hosts: [{{url: https://registry.cn-hangzhou.aliyuncs.com}}], credentials: {{aliyun: {{{keys}}}}}}}
          tencent:
            hosts: [{{url: https://team.tencentcloudcr.com}}]
            credentials: {{tencent: {{{keys}, registry_id: tcr-1, region: ap-guangzhou}}}}
          long: {{hosts: [{{url: https://swr.cn-north-4.myhuaweicloud.com}}], credentials: {{huawei: {{{keys}}}}}}}
          short: {{hosts: [{{url: https://swr.cn-north-4.myhuaweicloud.com}}], credentials: {{huawei: {{{keys}, login: temporary}}}}}}
          github: {{hosts: [{{url: https://ghcr.io}}], credentials: {{github_app: {{app_id: a, installation_id: 7, private_key: {pem}}}}}}}
        """
        found = settings(file, text, {"SECRET": SECRET})
        key = AccessKey("id", Secret(SECRET))
        swr = "https://swr-api.cn-north-4.myhuaweicloud.com"
        sources = {name: upstream(found, name).hosts[0].credential_source for name in ("aliyun", "tencent", "long", "short", "github")}
        assert sources == {
            "aliyun": Aliyun("cn-hangzhou", "https://cr.cn-hangzhou.aliyuncs.com", key),
            "tencent": Tencent("ap-guangzhou", "tcr-1", "https://tcr.tencentcloudapi.com", key),
            "long": Huawei(HuaweiLogin.LONG_TERM, "cn-north-4", key),
            "short": Huawei(HuaweiLogin.TEMPORARY, "cn-north-4", key, swr),
            "github": GithubApp("a", "7", pem, "https://api.github.com"),
        }
        assert SECRET not in found.as_yaml() + repr(found)
        assert settings(file, found.as_yaml()).as_yaml() == found.as_yaml()

    def test_n19_01_of_a_pattern_each_registry_tells_its_own_region(self, file: Path) -> None:
        text = """
        upstreams:
          "*.dkr.ecr.*.amazonaws.com": {hosts: [{url: "https://{registry}"}], credentials: {ecr: {identity: instance}}}
          "*.azurecr.cn": {hosts: [{url: "https://{registry}"}], credentials: {azure: {identity: managed}}}
        """
        found = settings(file, text)
        routes = Routes(found.upstreams, "docker.io")
        names = ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "a.azurecr.cn")
        ecr, azure = (routes.find("x", [name]).upstream.hosts[0].credential_source for name in names)
        assert ecr == Ecr(
            AwsIdentity.INSTANCE, "eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com", metadata_endpoint="http://169.254.169.254"
        )
        assert isinstance(azure, Azure)
        assert azure.resource == "https://management.chinacloudapi.cn"
        assert settings(file, found.as_yaml()).as_yaml() == found.as_yaml()

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("aliyun: {access_key_id: a, secret_access_key: canary}", "aliyun.region: is missing: quay.io is not a name of Aliyun"),
            ("aliyun: {access_key_id: a, region: r}", "aliyun.secret_access_key: is missing"),
            ("tencent: {access_key_id: a, secret_access_key: canary, region: r}", "tencent.registry_id: is missing"),
            ("huawei: {access_key_id: a, secret_access_key: canary}", "huawei.project: is missing: quay.io is not a name of SWR"),
            ("huawei: {access_key_id: a, secret_access_key: canary, project: p, login: temporary}", "huawei.endpoint: is missing"),
            ("github_app: {app_id: a, installation_id: 1, private_key: /nowhere}", "private_key: cannot be read: No such file"),
            ("github_app: {app_id: a, installation_id: 1, private_key: /dev/null}", "private_key: is not an RSA private key in PEM form"),
            ("google: {identity: federation}", "google.config_file: is missing: write it, or set GOOGLE_APPLICATION_CREDENTIALS"),
            ("google: {identity: federation, config_file: /nowhere}", "google.config_file: cannot be read: No such file"),
            ("google: {identity: federation, config_file: /dev/null}", "google.config_file: is not a credential configuration"),
            ("google: {identity: metadata, service_account: canary/..}", "service_account: is not default, or the e-mail address"),
            ("google: {identity: metadata, config_file: /x}", "config_file: goes with identity: federation"),
            ("azure: {identity: workload, token_file: /t, tenant_id: t}", "azure: client_id is missing: write it, or set AZURE_CLIENT_ID"),
            ("azure: {identity: managed, authority: 'https://canary.example'}", "azure.authority: goes with identity: workload"),
            (
                "google: {identity: metadata}, azure: {identity: managed}",
                "azure: does not go with google: one of them knows the credential",
            ),
            ("ecr: {}", "ecr.identity: is missing"),
            ("ecr: {identity: canary}", "ecr.identity: is not one of keys, web_identity, pod_identity, instance"),
            ("ecr: {identity: keys, access_key_id: a, region: r}", "secret_access_key: is missing: write it, or set AWS_SECRET_ACCESS_KEY"),
            ("ecr: {identity: instance, role_arn: canary, region: r}", "ecr.role_arn: goes with identity: web_identity"),
            ("ecr: {identity: instance}", "ecr.region: is missing: quay.io is not a name of ECR that tells it"),
            ("ecr: {identity: instance, region: r, endpoint: 'http://canary.io'}", "ecr.endpoint: must be https: secrets are sent there"),
            ("ecr: {identity: instance, region: r, metadata_endpoint: 'http://canary.io'}", "must have an IP address for a host"),
            (
                "ecr: {identity: pod_identity, region: r, token_file: /t, credentials_url: 'http://10.0.0.1/canary'}",
                "must be https, or at 169.254.170.2",
            ),
        ],
    )
    def test_n19_01_a_mistake_about_a_cloud_is_one_line(self, file: Path, said: str, told: str) -> None:
        (line,) = mistakes(file, f"upstreams: {{quay.io: {{credentials: {{{said}}}}}}}")
        assert told in line
        assert "canary" not in line

    def test_n19_01_a_host_of_its_own_credentials_is_named(self, file: Path) -> None:
        text = "upstreams: {quay.io: {hosts: [{url: 'https://quay.io', credentials: {ecr: {identity: instance}}}]}}"
        (line,) = mistakes(file, text)
        assert "upstreams.quay.io.hosts[0].credentials.ecr.region: is missing" in line

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("provider: {comand: /bin/p, command: x}", "provider.comand: unknown key; did you mean command?"),
            ("provider: {}", "provider.command: is missing"),
            ("provider: {command: ~/p}", "provider.command: must be written in full"),
            ("provider: {command: p, env: {'A B': c}}", "is not the name of an environment variable"),
            ("provider: {command: p, default_cache_duration: canary}", "is not a duration"),
            ("provider: {command: p}, docker_config: /x", "provider: does not go with docker_config: one of them knows the credential"),
            ("provider: {command: p}, helper_env: {A: b}", "is for the helpers of a docker_config"),
            ("provider: {command: p}, username: canary", "username: does not go with provider, which has its own"),
        ],
    )
    def test_n19_01_a_mistake_about_credentials_is_one_line_without_them(self, file: Path, said: str, told: str) -> None:
        (line,) = mistakes(file, f"upstreams: {{quay.io: {{credentials: {{{said}}}}}}}")
        assert told in line
        assert "canary" not in line

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
            {
                "match": "*",
                "policy": "always",
                "fresh_for": "5m",
                "stale_for": "7d",
                "missing_for": "10s",
                "cooldown": "0s",
                "cooldown_first": "serve",
                "gone_for": "0s",
            }
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


class TestRequire:
    """Images that have to be signed."""

    def test_n18_22_a_rule_is_for_repositories_and_names_keys(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "cosign.pub").write_bytes(Signer().pem)
        text = f"upstreams: {{docker.io: {{require: [{{match: 'library/*', keys: ['{tmp_path}/cosign.pub'], mode: warn}}]}}}}"
        found = settings(file, text)
        (rule,) = upstream(found, "docker.io").require
        assert rule == Requirement("library/*", (f"{tmp_path}/cosign.pub",), mode=RequireMode.WARN)
        assert found.effective()["upstreams"]["docker.io"]["require"] == [
            {"match": "library/*", "keys": [f"{tmp_path}/cosign.pub"], "identities": [], "trust_root": None, "mode": "warn"}
        ]

    @pytest.mark.parametrize(
        ("rule", "mistake"),
        [
            ("{}", "names nobody: keys or identities say who may sign"),
            ("{keys: [/nowhere/cosign.pub]}", "cannot be read: No such file or directory"),
            ("{keys: ['FILE']}", "cannot be used: no public key in PEM"),
            ("{match: 'library/app:1', keys: ['FILE']}", "a rule for tags would not hold for pulls by digest"),
            ("{identities: [{issuer: 'https://issuer', subject: me}]}", "needs identities and trust_root together"),
        ],
    )
    def test_n18_22_a_rule_that_could_not_hold_is_a_mistake(self, file: Path, rule: str, mistake: str) -> None:
        rule = rule.replace("FILE", str(file))  # which is no key
        found = mistakes(file, f"upstreams: {{docker.io: {{require: [{rule}]}}}}")
        assert any(mistake in line for line in found)
