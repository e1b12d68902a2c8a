"""Changes to YAML files that leave every other line as it is.

As with TOML a change is made in the text and then proved. Where that does not work (flow mappings, anchors) the whole document is written
anew: it means the same, but its comments are in the backup only.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import yaml

from regproxy.runtimes.model import Unsupported

Tree: TypeAlias = dict[str, Any]

_MAX_DEPTH = 40  # of a configuration; a deeper one is no file of a runtime


def parse(text: str, path: str) -> Tree:
    """Read a mapping, which an empty file is too; raise `Unsupported` where there is something else."""
    try:
        document = yaml.safe_load(text)
        json.dumps(document, default=str, skipkeys=True)  # an alias within its own anchor has no end
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = " ".join(str(error).split())[:200]
        raise Unsupported(f"/{path} is not YAML, and nothing reads it: {where}. Mend it first") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise Unsupported(f"/{path} is not a mapping, and nothing reads it so: mend it first")
    return document


def put_first(text: str, path: str, keys: Sequence[str], item: str) -> str:
    """Make *item* the first of the list under *keys*; what is there stays behind it."""
    document = parse(text, path)
    expected = deepcopy(document)
    table = _table(expected, keys[:-1], path)
    there = table.get(keys[-1]) or []
    if not isinstance(there, list):
        raise Unsupported(f"/{path}: {'.'.join(keys)} is not a list: mend it first")
    table[keys[-1]] = [item, *(each for each in there if each != item)]
    return _changed(text, expected, _with_first(text, keys, item))


def put(text: str, path: str, keys: Sequence[str], value: str | bool) -> str:  # noqa: FBT001  a value
    """Set the key at the end of *keys*."""
    expected = deepcopy(parse(text, path))
    _table(expected, keys[:-1], path)[keys[-1]] = value
    return _changed(text, expected, _with_missing(text, keys, json.dumps(value)))


def dump(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, width=1000, allow_unicode=True)


def _changed(text: str, expected: Tree, attempt: str | None) -> str:
    try:
        if yaml.safe_load(text) == expected:
            return text
        if attempt is not None and yaml.safe_load(attempt) == expected:
            return attempt
    except yaml.YAMLError:
        pass
    return dump(expected)


def _table(document: Tree, keys: Sequence[str], path: str) -> Tree:
    for key in keys:
        if document.get(key) is None:
            document[key] = {}
        document = document[key]
        if not isinstance(document, dict):
            raise Unsupported(f"/{path}: {key} is not a mapping: mend it first")
    return document


def _with_first(text: str, keys: Sequence[str], item: str) -> str | None:
    node, left = _walk(text, keys)
    if left:
        return _with_missing(text, keys, f"[{json.dumps(item)}]")
    if not isinstance(node, yaml.SequenceNode):
        return None
    at = node.start_mark.index
    if node.flow_style:
        return text[: at + 1] + json.dumps(item) + (", " if node.value else "") + text[at + 1 :]
    start = text.rindex("\n", 0, at) + 1
    return text[:start] + " " * node.start_mark.column + f"- {json.dumps(item)}\n" + text[start:]


def _with_missing(text: str, keys: Sequence[str], value: str) -> str | None:
    """Add the part of *keys* that is missing, before the keys that stand beside it; at the end of the file if nothing of it is there."""
    node, left = _walk(text, keys)
    if not left:
        return None
    if len(left) == len(keys):
        return text + ("" if not text or text.endswith("\n") else "\n") + _block(left, value, 0)
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        return None
    column = node.value[0][0].start_mark.column
    start = text.rfind("\n", 0, node.value[0][0].start_mark.index) + 1
    return text[:start] + _block(left, value, column) + text[start:]


def _block(keys: Sequence[str], value: str, column: int) -> str:
    lines = [f"{' ' * (column + 2 * depth)}{_bare(key)}:" for depth, key in enumerate(keys)]
    return "\n".join(lines) + f" {value}\n"


def _walk(text: str, keys: Sequence[str]) -> tuple[yaml.Node | None, Sequence[str]]:
    """Descend as far as the keys exist; return where that ends, and the missing keys."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for index, key in enumerate(keys[:_MAX_DEPTH]):
        found = next((value for name, value in node.value if name.value == key), None) if isinstance(node, yaml.MappingNode) else None
        if found is None:
            return node, keys[index:]
        node = found
    return node, ()


def _bare(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and not key.isdigit() else json.dumps(key)
