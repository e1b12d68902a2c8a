"""The reference file of the configuration, config/regproxy.yaml."""

from collections.abc import Iterator
from typing import get_args

import yaml

from regproxy.config import load
from regproxy.config.model import Model
from regproxy.config.settings import Document
from tests.config.loaded import REFERENCE


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
