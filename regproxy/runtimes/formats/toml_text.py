"""Changes to TOML files that leave every other line as it is (TOML 1.0).

A change is made in the text and then proved: what the new text means is compared with what it is to mean. Where the two differ, as with
inline tables, nothing is changed and the operator is told.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from regproxy.runtimes.model import Unsupported

Table: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]
Value: TypeAlias = str | bool | int | Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """A table's header and the lines below it; what stands above the first table has the empty key."""

    key: Key
    text: str
    is_array: bool = False


def loads(text: str) -> Table:
    """Read TOML; raise `tomllib.TOMLDecodeError`, also where it is too deep for the parser."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("arrays or inline tables in one another, too deep") from None


def parse(text: str, path: str) -> Table:
    """Read TOML; raise `Unsupported` with the line where it is none."""
    try:
        return loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unsupported(f"/{path} is not TOML, and the runtime reads nothing of it: {error}. Mend it first") from None


def literal(value: Value) -> str:
    """Write a value; JSON's strings and booleans are TOML's too."""
    if isinstance(value, str | bool | int):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(literal(each) for each in value)}]"


def header(key: Key) -> str:
    return f"[{'.'.join(_bare(each) for each in key)}]"


def split(text: str) -> list[Part]:
    """Split a file at its headers; the first part is what stands above them all. Joined, the parts are the text again."""
    parts = [Part((), "")]
    for line in text.splitlines(keepends=True):
        if (found := _header(line)) is not None:
            parts.append(found)
        else:
            parts[-1] = replace(parts[-1], text=parts[-1].text + line)
    return _with_comments(parts)


def join(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts)


def set_value(text: str, table: Key, key: str, value: Value, indent: str = "  ") -> str:
    """Set *key* of *table*, in its place or below the header; a missing table is appended."""
    parts = split(text)
    at = next((index for index, part in enumerate(parts) if part.key == table and not part.is_array), None)
    if at is None:
        between = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{between}{header(table)}\n{indent}{key} = {literal(value)}\n"
    parts[at] = replace(parts[at], text=_set_in(parts[at], key, value, indent))
    return join(parts)


def with_value(document: Mapping[str, Any], table: Key, key: str, value: Value) -> Table:
    """Return what a document means once *key* of *table* has that value."""
    changed = deepcopy(dict(document))
    found = changed
    for each in table:
        found = found.setdefault(each, {})
        if not isinstance(found, dict):
            raise Unsupported(f"{header(table)} is something else than a table there")
    found[key] = value if isinstance(value, str | bool | int) else list(value)
    return changed


def proved(text: str, expected: Mapping[str, Any], path: str, by_hand: str) -> str:
    """Return *text* if it means what is expected; raise `Unsupported`, with what to write by hand, if it does not."""
    try:
        if loads(text) == expected:
            return text
    except tomllib.TOMLDecodeError:
        pass
    raise Unsupported(f"/{path} is written in a way that cannot be changed without touching the rest (inline tables?). By hand:\n{by_hand}")


def line_of(text: str, table: Key, key: str | None = None) -> int:
    """Return the line of a table, or of a key of it; 1 where it is not found."""
    line = 1
    for part in split(text):
        lines = part.text.splitlines()
        if part.key == table:
            skipped = next((index for index, each in enumerate(lines) if _header(each) is not None), 0) if table else 0
            if key is None:
                return line + skipped
            for index, each in enumerate(lines):
                if each.partition("=")[0].strip().strip("\"'") == key:
                    return line + index
        line += len(lines)
    return 1


def _set_in(part: Part, key: str, value: Value, indent: str) -> str:
    lines = part.text.splitlines(keepends=True)
    said = f"{key} = {literal(value)}\n"
    for index, line in enumerate(lines):
        if line.partition("=")[0].strip().strip("\"'") != key or "=" not in line:
            continue
        end = index + 1
        while end < len(lines) and not _is_whole("".join(lines[index:end])):
            end += 1
        return "".join([*lines[:index], line[: len(line) - len(line.lstrip())] + said, *lines[end:]])
    if not part.key:
        return (
            said + ("" if not part.text or part.text.startswith("\n") else "\n") + part.text
            if part.text.strip()
            else said + "\n" + part.text
        )
    at = next((index for index, line in enumerate(lines) if _header(line) is not None), 0)
    if not lines[at].endswith("\n"):
        lines[at] += "\n"
    return "".join([*lines[: at + 1], indent + said, *lines[at + 1 :]])


def _is_whole(lines: str) -> bool:
    try:
        loads(lines)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _header(line: str) -> Part | None:
    """Read a line that is a header and nothing else; a line within a value may look like one, which the proof finds out."""
    stripped = line.strip()
    if not stripped.startswith("["):
        return None
    try:
        found: Any = loads(stripped)
    except tomllib.TOMLDecodeError:
        return None
    key: list[str] = []
    is_array = False
    while found:
        [(name, found)] = found.items()
        key.append(name)
        if isinstance(found, list):
            is_array, found = True, found[0]
    return Part(tuple(key), line, is_array)


def _with_comments(parts: list[Part]) -> list[Part]:
    """Attach the comments right above a header to its table."""
    for index in range(1, len(parts)):
        lines = parts[index - 1].text.splitlines(keepends=True)
        kept = len(lines)
        floor = 0 if index == 1 else 1
        while kept > floor and lines[kept - 1].lstrip().startswith("#"):
            kept -= 1
        parts[index] = replace(parts[index], text="".join(lines[kept:]) + parts[index].text)
        parts[index - 1] = replace(parts[index - 1], text="".join(lines[:kept]))
    return parts


def _bare(name: str) -> str:
    return name if name and all(each.isascii() and (each.isalnum() or each in "-_") for each in name) else json.dumps(name)
