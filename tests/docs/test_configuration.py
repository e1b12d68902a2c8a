"""docs/configuration.md: complete, and what the settings say now."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest
import yaml

from docs.configuration import PAGE, Setting, page, settings
from regproxy.config.model import Model
from regproxy.config.settings import Document


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m docs.configuration"


def test_no_setting_is_missing() -> None:
    told = {setting.path.replace(".NAME", "") for setting in settings()}
    assert {path for path in _paths(Document) if "hosts.credentials." not in path} == told  # those are as at the upstream


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.path)
def test_a_setting_has_a_type_and_a_default(setting: Setting) -> None:
    assert setting.type
    assert setting.default or setting.type.startswith(("Mapping", "List"))


@pytest.mark.parametrize("path", ["clients", "admin_tokens", "redis", "fleet", "quotas", "warm", "hooks"])
def test_an_example_is_a_block_that_can_be_copied(path: str) -> None:
    """tests/docs/test_blocks.py loads it."""
    [setting] = [each for each in settings() if each.path == path]
    [example] = re.findall(r"(?m)^```yaml\n((?:.+\n)+)```$", setting.reason)
    assert list(yaml.safe_load(example)) == [path]


def _paths(model: type[Model], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield path + name
        for inner in _models(field.annotation):
            yield from _paths(inner, f"{path}{name}.")


def _models(annotation: object) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)
