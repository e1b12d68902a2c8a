"""Registries in the configuration."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from joserfc.jwk import RSAKey

from regproxy.config import load
from regproxy.config.builtin import BUILTIN
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
from regproxy.policy.routing import Host, Routes, Trust
from tests.config.loaded import SECRET, mistakes, settings, upstream


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

    @pytest.mark.parametrize(
        ("match", "meant"),
        [
            ("team/app", "team/app:*"),
            ("*/app", "*/app:*"),
            ("team/app:1", "team/app:1"),
            ("team/*", "team/*"),
            ("*-dev", "*-dev"),
            ("app?", "app?"),
        ],
    )
    def test_the_name_of_a_repository_is_all_its_tags(self, file: Path, match: str, meant: str) -> None:
        found = upstream(settings(file, f'upstreams: {{docker.io: {{tags: [{{match: "{match}", policy: never}}]}}}}'), "docker.io")
        assert found.tags == (TagPolicy(meant, PullPolicy.NEVER),)

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
