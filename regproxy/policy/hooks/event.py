"""An event as every source's is read: a repository and a tag of it to look at again. Bytes are hostile until they are one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from regproxy.oci.digest import InvalidDigest
from regproxy.oci.reference import InvalidName, Target, is_name, parse_target

MAX_BODY_BYTES = 1024 * 1024
MAX_EVENTS = 1_000  # of one body
_MAX_REGISTRY = 261  # characters: a host and its port
_MAX_SHOWN = 80

Headers: TypeAlias = Mapping[str, str]
"""Headers of a request, their names in lower case."""
Tree: TypeAlias = Mapping[str, object]
"""An object of a JSON document."""


class InvalidEvent(ValueError):
    """The body is not what its source sends, in one line."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something was pushed to *repository*, which is of *registry*: a host, or empty where the source does not tell."""

    registry: str
    repository: str
    target: Target


def event(registry: str, repository: str, target: str) -> Event:
    """Read the parts of an event; raise `InvalidEvent` where one is none."""
    if len(registry) > _MAX_REGISTRY or not registry.isascii():
        raise InvalidEvent(f"{registry[:_MAX_SHOWN]!r} is not a registry")
    if not is_name(repository):
        raise InvalidEvent(f"{repository[:_MAX_SHOWN]!r} is not a repository")
    try:
        return Event(registry.lower(), repository, parse_target(target))
    except (InvalidName, InvalidDigest):
        raise InvalidEvent(f"{target[:_MAX_SHOWN]!r} is neither a tag nor a digest") from None


def document(body: bytes) -> Tree:
    """Read a body that is a JSON object; raise `InvalidEvent`."""
    found = parsed(body)
    if not isinstance(found, dict):
        raise InvalidEvent("the body is not a JSON object")
    return found


def parsed(body: bytes) -> object:
    """Read a body that is JSON; raise `InvalidEvent`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidEvent("the body is not JSON") from None


def text(tree: Tree, *path: str) -> str:
    """Return the text at *path*, empty where it is absent or null; raise `InvalidEvent` for anything else."""
    found: object = tree
    for name in path:
        if found is None:
            return ""
        if not isinstance(found, dict):
            raise InvalidEvent(f"{'.'.join(path)} is not where it should be")
        found = found.get(name)
    if not isinstance(found, str | None):
        raise InvalidEvent(f"{'.'.join(path)} is not text")
    return found or ""


def objects(tree: Tree, name: str) -> Sequence[Tree]:
    """Return the list of objects called *name*, empty where it is absent; raise `InvalidEvent`."""
    found = tree.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidEvent(f"{name} is not a list of objects")
    return found


def host_of(url: str) -> str:
    """Return the host of a URL, with or without its scheme, as `registry.example/org/app:1`."""
    return url.rpartition("://")[2].partition("/")[0]
