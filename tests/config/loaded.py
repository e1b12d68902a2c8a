"""Configurations that tests write, and what comes of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from regproxy.config import ConfigError, Settings, load
from regproxy.policy.routing import Upstream

REFERENCE = Path(__file__).parents[2] / "config" / "regproxy.yaml"
SECRET = "canary horse battery staple"
NOTHING: Mapping[str, str] = {}


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
