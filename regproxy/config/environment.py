"""What the environment adds to a file: the values of `${NAME}`, overrides of any key, and the place for the store."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from regproxy.config.model import Place
from regproxy.config.reading import Tree

_SYSTEM_ROOT = Path("/var/lib/regproxy")
_PREFIX = "REGPROXY__"
_REFERENCE = re.compile(r"(\$?)\$\{([^}]*)\}")


def fill(tree: Tree, environ: Mapping[str, str], unset: dict[Place, list[str]], place: Place = ()) -> Tree:
    """Fill in every `${NAME}`, and write `${NAME}` for `$${NAME}`; note in *unset* where a variable does not exist."""
    if isinstance(tree, dict):
        return {key: fill(value, environ, unset, (*place, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill(value, environ, unset, (*place, index)) for index, value in enumerate(tree)]
    if not isinstance(tree, str):
        return tree
    missing = [name for escape, name in _REFERENCE.findall(tree) if not escape and name not in environ]
    if missing:
        unset[place] = missing
        return tree
    return _REFERENCE.sub(lambda found: found[0][1:] if found[1] else environ[found[2]], tree)


def override(tree: Tree, environ: Mapping[str, str]) -> tuple[Tree, dict[Place, str], list[str]]:
    """Put the values of `REGPROXY__...` in; return which variable went where, and which could not."""
    origins: dict[Place, str] = {}
    misfits: list[str] = []
    for name, value in sorted(environ.items()):
        if name.upper().startswith(_PREFIX) and value:
            try:
                tree, place = _with(tree, name[len(_PREFIX) :].split("__"), value)
            except LookupError as error:
                misfits.append(f"{name}: {error.args[0]}")
            else:
                origins[place] = name
    return tree, origins, misfits


def default_root(environ: Mapping[str, str], system: Path = _SYSTEM_ROOT) -> Path:
    """Pick where content is kept: the system's place where we may write there, else the user's cache directory."""
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # XDG Base Directory: relative paths are to be ignored
        cache = Path(environ.get("HOME", "")) / ".cache"
    return system if _may_make(system) or not cache.is_absolute() else cache / "regproxy"


def _with(tree: Tree, segments: list[str], value: str) -> tuple[Tree, Place]:
    if not segments:
        return value, ()
    segment, *rest = segments
    if isinstance(tree, list):
        index = _index(tree, segment)
        child, place = _with(tree[index], rest, value)
        return [*tree[:index], child, *tree[index + 1 :]], (index, *place)
    if tree is not None and not isinstance(tree, dict):
        raise LookupError(f"there is nothing to put {segment.lower()!r} into: its parent is a single value")
    mapping = tree or {}
    key = _key(mapping, segment)
    child, place = _with(mapping.get(key), rest, value)
    return {**mapping, key: child}, (key, *place)


def _index(items: list[Tree], segment: str) -> int:
    if not segment.isdecimal() or int(segment) >= len(items):
        raise LookupError(f"{segment!r} is not the number of an item: the list has {len(items)}, counted from 0")
    return int(segment)


def _key(mapping: Mapping[str, Tree], segment: str) -> str:
    exact = (key for key in mapping if str(key).lower() == segment.lower())
    folded = (key for key in mapping if _folded(key) == _folded(segment))
    return next(exact, None) or next(folded, None) or segment.lower()


def _folded(key: str) -> str:
    """Spell a key as a variable's name can: shells take no dots, dashes or colons."""
    return re.sub(r"[^a-z0-9]", "_", str(key).lower())


def _may_make(directory: Path) -> bool:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
