"""Upstreams whose names are patterns, in the configuration."""

import pickle
from pathlib import Path

import pytest

from regproxy.config import ConfigError, Settings, load
from regproxy.policy.clouds.sources import Ecr
from regproxy.policy.routing import Upstream
from tests.config.loaded import mistakes, settings, upstream


def _made(found: Settings, pattern: str, name: str) -> Upstream:
    made = upstream(pickle.loads(pickle.dumps(found)), pattern).made  # noqa: S301  as workers are told
    assert made is not None
    return made(name)


def test_n19_02_a_pattern_alone_means_each_registry_itself(file: Path) -> None:
    found = settings(file, "upstreams: {'*.pkg.dev': {}, '*.azurecr.io': }")
    assert [host.url for host in upstream(found, "*.pkg.dev").hosts] == ["https://{registry}"]
    assert upstream(found, "*.azurecr.io").is_pattern
    file.write_text(found.as_yaml())
    assert load(file, {}) == found


def test_n19_02_the_name_of_a_registry_may_be_said_once(file: Path) -> None:
    mirror = "{url: 'https://m.example', trust: [pull], prefix: '{registry}'}"
    found = settings(
        file,
        f"upstreams: {{quay.io: {{hosts: [{mirror}, {{url: 'https://{{registry}}'}}]}}, '*.pkg.dev': {{hosts: [{mirror}, {{url: 'http://{{registry}}'}}]}}}}",
    )
    one, other = upstream(found, "quay.io").hosts
    assert (one.prefix, other.url, other.is_of_pattern) == ("quay.io", "https://quay.io", False)
    one, other = _made(found, "*.pkg.dev", "eu.pkg.dev").hosts
    assert (one.prefix, other.url, one.is_of_pattern, other.is_of_pattern) == ("eu.pkg.dev", "http://eu.pkg.dev", False, True)


ECR = "*.dkr.ecr.*.amazonaws.com"
ONE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def test_n19_02_credentials_of_a_pattern_are_those_of_each_registry(file: Path) -> None:
    found = settings(file, f"upstreams: {{'{ECR}': {{credentials: {{docker_config: /c.json}}}}}}")
    config = _made(found, ECR, ONE).hosts[0].docker_config
    assert config is not None
    assert config.servers == (ONE,)
    source = (
        _made(settings(file, f"upstreams: {{'{ECR}': {{credentials: {{ecr: {{identity: instance}}}}}}}}"), ECR, ONE)
        .hosts[0]
        .credential_source
    )
    assert isinstance(source, Ecr)
    assert source.region == "eu-west-1"
    with pytest.raises(ConfigError, match="region: is missing"):
        settings(file, "upstreams: {'*.reg.example': {credentials: {ecr: {identity: instance}}}}")


def test_n19_02_a_hook_may_be_for_a_registry_of_a_pattern(file: Path) -> None:
    hook = "{source: harbor, secret: canary-secret-of-harbor-1234, upstream: %s}"
    assert settings(file, f"upstreams: {{'*.reg.example': {{}}}}\nhooks: [{hook % 'a.reg.example'}]").hooks
    with pytest.raises(ConfigError, match="is not a configured upstream"):
        settings(file, f"upstreams: {{'*.reg.example': {{}}}}\nhooks: [{hook % 'a.b.reg.example'}]")


MISTAKES = [
    ("'*.com': {}", "upstreams.*.com: must end in a domain of two labels without *, such as *.pkg.dev: whom it names must be known"),
    ("'*': {}", "upstreams.*: must end in a domain of two labels without *, such as *.pkg.dev: whom it names must be known"),
    ("'*.x.io': {aliases: [y.io]}", "upstreams.*.x.io.aliases: is for one registry: list it by its name, which goes before the pattern"),
    ("'*.x.io': {serve_as: [y.io]}", "upstreams.*.x.io.serve_as: is for one registry: list it by its name, which goes before the pattern"),
    (
        "'*.x.io': {freeze: [{match: a}]}",
        "upstreams.*.x.io.freeze: is for one registry: list it by its name, which goes before the pattern",
    ),
    (
        "x.io: {hosts: [{url: 'https://{registry}:5000'}]}",
        "upstreams.x.io.hosts[0].url: 'https://{registry}:5000' must be https://{registry} or http://{registry}, with nothing after it",
    ),
    (
        "x.io: {hosts: [{url: 'https://x.io', prefix: '/{registry}'}]}",
        "upstreams.x.io.hosts[0].prefix: '/{registry}' is not the beginning of a repository name, such as dockerhub or mirrors/dockerhub",
    ),
    ("x.io: {}", "upstreams.x.io.hosts: is missing"),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_n19_02_a_mistake_about_a_pattern_is_one_line(file: Path, text: str, line: str) -> None:
    assert mistakes(file, f"upstreams: {{{text}}}") == [f"FILE: {line}"]


def test_n19_02_a_pattern_is_not_what_requests_without_a_registry_mean(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"default_upstream: .* is not a configured upstream"):
        settings(file, "upstreams: {'*.x.io': {}}\ndefault_upstream: '*.x.io'")
