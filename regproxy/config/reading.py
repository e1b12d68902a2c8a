"""YAML as written: a scalar is text, whatever YAML 1.1 would make of `no`, `0755` or `12:30`; the settings give it its type."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.constructor import ConstructorError

from regproxy.config.mistakes import ConfigError

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | None"
"""A document, or a part of one."""

_KEPT = frozenset({"tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"})


class _Loader(yaml.SafeLoader):
    """Notes keys given twice, which YAML forbids and PyYAML lets pass."""

    # PyYAML: by first character, what plain scalars are resolved to.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in resolvers if tag in _KEPT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[int, str]] = []

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[Hashable] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.repeated.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        return node


def read(path: Path) -> tuple[Tree, list[str]]:
    """Read a file, and list the keys it gives twice; raise `ConfigError` where that is not possible at all."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: is not YAML: {error}".splitlines()[0]]) from None
    try:
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{path}: {_explained(error)}"]) from None
    finally:
        loader.dispose()
    if document is not None and not isinstance(document, dict):
        raise ConfigError([f"{path}: must be a mapping (key: value)"])
    return document or {}, [f"{path}: line {line}: {key!r} is given twice" for line, key in loader.repeated]


def _explained(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "is not YAML"
    if isinstance(error, yaml.composer.ComposerError | ConstructorError):
        problem = problem.partition("'")[0].strip()  # the rest quotes the file, where a password may begin with * or !
    return f"line {mark.line + 1}: {problem}" if mark else problem
