"""Write docs/configuration.md: every setting, its type and default from the code, its reason from config/regproxy.yaml.

`python -m docs.configuration` writes the page; `tests/docs/test_configuration.py` fails where it is out of date.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator, PlainSerializer
from pydantic.fields import FieldInfo

from regproxy.config import units
from regproxy.config.model import Model
from regproxy.config.sections import bandwidth, fleet
from regproxy.config.sections.credentials import CredentialEntry
from regproxy.config.settings import Document
from regproxy.config.upstream import UpstreamEntry

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "configuration.md"
REFERENCE: Final = ROOT / "config" / "regproxy.yaml"

_EXAMPLE_UPSTREAM = "docker.io"  # stands for every upstream in the reference file
_WIDTH = 140
_TYPES: Mapping[Callable[..., object], str] = {
    units.address: "address, such as `0.0.0.0:5000` or `[::]:5000`",
    units.seconds: "duration",
    units.size: "size",
    units.share: "percentage",
    units.size_or_share: "size or percentage",
    units.host_name: "host name, with a port where it is not the default",
    units.server_name: "host name or IP address, without a port",
    units.origin: "URL of a host, such as `https://mirror.example.cn:5000`",
    units.proxy: "URL of a proxy",
    units.redis_url: "URL, such as `redis://127.0.0.1:6379/0`, `rediss://...` or `unix://...`",
    fleet.peers: "`dns://name:port`, or list of URLs",
    fleet.advertised: "`auto`, or a URL",
    units.keys: "text of at least 32 random bytes, or two of them separated by a comma",
    units.network: "network in CIDR form, such as `10.0.0.0/8`",
    units.repository_prefix: "beginning of a repository name, such as `dockerhub`",
    units.content_digest: "digest, such as `sha256:2cf2...`",
    units.filled: "text",
    bandwidth.line_rate: "size, or a mapping of times of day to sizes and `none`",
    units.variable_name: "name of an environment variable",
}
_PLAIN: Mapping[object, str] = {str: "text", Path: "absolute path", bool: "`true` or `false`", int: "whole number", float: "number"}
_KINDS: Mapping[object, str] = {dict: "Mapping by name", tuple: "List of mappings"}
_INTRODUCTION = """\
# Configuration

<!-- Generated from the settings and config/regproxy.yaml by `python -m docs.configuration`. Edit those. -->

`regproxy serve --config FILE` reads one YAML file. Every key is optional, and an unknown key is an error that names the nearest known one.
`regproxy check --config FILE` lists every mistake, and prints the configuration in effect with secrets hidden.
[config/regproxy.yaml](../config/regproxy.yaml) is the same reference as a file, with every setting at its default.

| what | rule |
|---|---|
| duration | `250ms`, `5s`, `5m`, `12h`, `7d` |
| size | `512MiB`, `200GiB`, `2TiB` (powers of 1024), `200GB` (powers of 1000) |
| percentage | `85%` |
| `${NAME}` in a value | Filled from the environment. A variable that does not exist is an error. `$${NAME}` is the text `${NAME}`. |
| `REGPROXY__STORE__ROOT=/data` | Overrides `store.root`; so for any single value. List items go by number, from 0; `_` stands for a dot. |
| a key without a value | Is at its default. |
| SIGHUP | Reads the file again without a failed request. `listen`, `admin_listen`, `workers`, `redis` and `store.root` need a restart. |
"""


class Setting(NamedTuple):
    """One key of the file: its path, type and default in words, and why it is there."""

    path: str
    type: str
    default: str
    reason: str


def page() -> str:
    """Write the whole page."""
    parts = [_INTRODUCTION]
    section = ""
    for setting in settings():
        top = setting.path.partition(".")[0]
        level = "##" if top != section else "###"
        section = top
        facts = " ".join(each for each in (setting.type and f"{setting.type}.", setting.default and f"Default: {setting.default}.") if each)
        parts.append("\n\n".join(each for each in (f"{level} `{setting.path}`", facts, setting.reason) if each) + "\n")
    return "\n".join(parts)


def settings() -> list[Setting]:
    """List every setting of the file, in its order."""
    return list(_settings(Document, (), _reasons(REFERENCE.read_text()), _defaults()))


def _settings(model: type[Model], path: tuple[str, ...], reasons: Mapping[str, str], written: Mapping[str, str]) -> Iterator[Setting]:
    previous = ""
    for name, field in model.model_fields.items():
        here = (*path, name)
        dotted = ".".join(here)
        inner = _model_in(field.annotation)
        reason = reasons.get(dotted) or _escaped(field.description or "") or ("" if inner else _by_context(dotted, path, previous))
        previous = dotted if dotted in reasons else previous
        if inner is None:
            yield Setting(dotted, _type_of(field), _default_of(field, dotted, written), reason)
            continue
        kind = _KINDS.get(get_origin(field.annotation), "Mapping")
        yield Setting(dotted, kind, "none" if field.default in (None, ()) else "", reason)
        if inner is CredentialEntry and "hosts" in path:
            continue  # as at the upstream
        yield from _settings(inner, (*here, "NAME") if inner is UpstreamEntry else here, reasons, written)


def _by_context(dotted: str, path: tuple[str, ...], previous: str) -> str:
    name = dotted.rpartition(".")[2]
    if path[-1:] == ("timeouts",) and len(path) > 1:
        return f"Overrides `timeouts.{name}`."
    return f"See `{previous or '.'.join(path)}`."


def _model_in(annotation: object) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _type_of(field: FieldInfo) -> str:
    words = _in_words(field.annotation, field.metadata)
    return words[0].upper() + words[1:]


def _in_words(annotation: object, metadata: Sequence[object] = ()) -> str:
    """Say a type in words; raise `KeyError` for one that has none yet."""
    own = next((_TYPES[each.func] for each in metadata if isinstance(each, BeforeValidator | AfterValidator) and each.func in _TYPES), None)
    if own is not None:
        return own + _bounds(metadata)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _in_words(arguments[0], arguments[1:])
    if origin in {Union, UnionType}:
        return " or ".join(_in_words(each) for each in arguments if each is not NoneType)
    if origin is Literal:
        return _choice(arguments)
    if origin in {tuple, frozenset}:
        return f"list of: {_in_words(arguments[0])}"
    if origin is dict:
        return f"mapping of {_in_words(arguments[0])} to {_in_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choice([each.value for each in annotation])
    return _PLAIN[annotation] + _bounds(metadata)


def _choice(values: Iterable[object]) -> str:
    texts = [f"`{value}`" for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]


def _bounds(metadata: Sequence[object]) -> str:
    low = next((f"from {each.ge}" for each in metadata if isinstance(each, Ge) and each.ge), None)
    low = low or next((f"above {each.gt}" for each in metadata if isinstance(each, Gt)), None)
    high = next((f"to {each.le}" for each in metadata if isinstance(each, Le)), None)
    return "".join(f", {each}" for each in [" ".join(filter(None, [low, high]))] if each)


def _default_of(field: FieldInfo, dotted: str, written: Mapping[str, str]) -> str:
    if field.is_required():
        return f"`{written[dotted]}`" if not dotted.startswith("upstreams") and dotted in written else "none, it is required"
    return "none" if field.default in (None, "", (), {}, frozenset()) else f"`{_shown(field.default, field.metadata)}`"


def _shown(value: object, metadata: Sequence[object]) -> str:
    for each in metadata:
        if isinstance(each, PlainSerializer):
            function: Any = each.func
            return str(function(value))
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case frozenset() | tuple():
            return f"[{', '.join(sorted(_shown(each, []) for each in value))}]"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _defaults() -> Mapping[str, str]:
    """Take what the reference file says of each key that holds a single value."""
    return {path: node.value for path, _, node in _keys(yaml.compose(REFERENCE.read_text())) if isinstance(node, yaml.ScalarNode)}


def _reasons(text: str) -> Mapping[str, str]:
    """Take the comment above each key of the reference file."""
    lines = text.splitlines()
    return {path: found for path, line, _ in _keys(yaml.compose(text)) if (found := _comment_above(lines, line))}


def _keys(node: yaml.Node | None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, int, yaml.Node]]:
    """List each key by its path, its line and its value; the first of a list stands for all, and docker.io for all upstreams."""
    if isinstance(node, yaml.SequenceNode) and node.value:
        yield from _keys(node.value[0], path)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if path == ("upstreams",):
            if key.value == _EXAMPLE_UPSTREAM:
                yield from _keys(value, (*path, "NAME"))
            continue
        yield ".".join((*path, key.value)), key.start_mark.line, value
        yield from _keys(value, (*path, key.value))


def _comment_above(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line > 0 and (comment := re.fullmatch(r"[\s-]*#(?: (.*))?", lines[line - 1])):
        found.insert(0, comment[1] or "")
        line -= 1
    if line == 0:
        return ""
    return "\n\n".join(map(_rendered, "\n".join(found).split("\n\n")))


def _rendered(paragraph: str) -> str:
    """Fence an example, which is a key alone and what is indented below it, so that it can be copied; join the lines of a sentence."""
    if re.fullmatch(r"\w+:(\n +.*)+", paragraph):
        return f"```yaml\n{paragraph}\n```"
    return _escaped(" ".join(paragraph.split("\n")))


def _escaped(text: str) -> str:
    """Keep what is no code from being taken for markup."""
    parts = re.split(r"(`[^`]*`)", text.strip())
    return "".join(part if part.startswith("`") else re.sub(r"([<*\[])", r"\\\1", part) for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page())
