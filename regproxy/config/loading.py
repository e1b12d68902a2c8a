"""From a file and an environment to settings, or to every mistake at once.

The value of a `${NAME}` and anything under `credentials` never appear in a mistake: what is shown is what the file says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from regproxy.config import environment, mistakes, reading
from regproxy.config.builtin import BUILTIN
from regproxy.config.mistakes import ConfigError, Mistake, places
from regproxy.config.model import Place
from regproxy.config.reading import Tree
from regproxy.config.sections.patterns import REGISTRY
from regproxy.config.settings import Document, Settings
from regproxy.policy.upstream.patterns import is_pattern


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where every value comes from."""

    name: str
    written: Tree
    document: Tree
    variables: Mapping[Place, str]

    def line(self, mistake: Mistake) -> str:
        place, predicate, is_about_value = mistake
        written = _at(self.written, place)
        inside = (name for at, name in self.variables.items() if written is None and at[: len(place)] == place)
        variable = self.variables.get(place) or next(inside, None)
        value = written if written is not None and variable is None else _at(self.document, place)
        quoted = mistakes.quoted(place, value) if is_about_value else ""
        return f"{variable or self.name}: {mistakes.named(place)}: {quoted}{predicate}"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings; without a file, the defaults and what the environment overrides. Raise `ConfigError`.

    `REGPROXY__STORE__ROOT=/data` sets `store.root`: keys in any case, items of a list by number, and `_` for the signs that a shell does
    not take: `REGPROXY__UPSTREAMS__DOCKER_IO__HOSTS__0__PREFIX`. The value is taken as it stands; an empty one counts as not set.
    """
    written, lines = reading.read(path) if path else ({}, [])
    unset: dict[Place, list[str]] = {}
    filled = _over_builtin(environment.fill(written, environ, unset))
    document, variables, misfits = environment.override(filled, environ)
    found = [Mistake(place, f"environment variable {name} is not set", is_about_value=False) for place in unset for name in unset[place]]
    try:
        checked = Document.model_validate(_rooted(document, environ), context={"environ": environ})
        found += [Mistake(place, predicate) for place, predicate in checked.contradictions()]
    except ValidationError as error:
        found += [mistake for mistake in mistakes.found(error, Document) if mistake.place not in unset]
    sources = _Sources(str(path or "configuration"), written, document, variables)
    lines += [*misfits, *map(sources.line, found)]
    if lines:
        raise ConfigError(lines)
    return checked.settings()


def overlooked(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """List unused variables such as REGPROXY_LISTEN, with their right spelling; variables that the file itself refers to are left out."""
    try:
        written = path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError):
        written = ""
    meant = {"_".join(place).upper(): "__".join(place).upper() for place in places(Document)}
    found = []
    for name in sorted(environ):
        intended = meant.get(name.upper().removeprefix("REGPROXY_")) if name.upper().startswith("REGPROXY_") else None
        if intended is not None and f"${{{name}}}" not in written:
            found.append(f"{name} is not read: two underscores make it REGPROXY__{intended}")
    return found


def _over_builtin(document: Tree) -> Tree:
    if not isinstance(document, dict):
        return document
    given = document.get("upstreams") or {}
    if not isinstance(given, dict):
        return document
    return {**document, "upstreams": {**BUILTIN, **{name: _over(_builtin(name), entry) for name, entry in given.items()}}}


def _builtin(name: object) -> Tree:
    """Return what an upstream is where its entry does not say it: a pattern's registries are served by themselves."""
    return {"hosts": [{"url": f"https://{REGISTRY}"}]} if isinstance(name, str) and is_pattern(name) else BUILTIN.get(str(name))


def _over(builtin: Tree, entry: Tree) -> Tree:
    if not isinstance(builtin, dict) or not isinstance(entry, dict | None):
        return entry
    return {**builtin, **{key: value for key, value in (entry or {}).items() if value is not None}}


def _rooted(document: Tree, environ: Mapping[str, str]) -> Tree:
    """Decide `store.root: auto`."""
    store = (document.get("store") or {}) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(store, dict) or store.get("root") not in (None, "auto"):
        return document
    return {**document, "store": {**store, "root": str(environment.default_root(environ))}}


def _at(tree: Tree, place: Place) -> Tree:
    for part in place:
        if isinstance(tree, dict):
            tree = tree.get(str(part))
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return None
    return tree
