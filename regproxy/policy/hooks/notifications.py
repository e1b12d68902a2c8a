"""Notifications of distribution (docs: Notifications), and what is made like them by Azure ACR and by Harbor's driver for Kraken."""

from collections.abc import Iterator, Mapping

from regproxy.policy.hooks.event import Event, Headers, Tree, document, event, host_of, objects, text

_MANIFESTS = (".manifest.", ".index.")  # in media types: a push of a blob is told as well
_DEPTH = 4  # objects and lists below which nothing is looked at


def distribution(body: bytes, _: Headers) -> Iterator[Event]:
    """Read an envelope of events; raise `InvalidEvent`."""
    for each in objects(_folded(document(body)), "events"):
        yield from _pushed(each)


def azure(body: bytes, _: Headers) -> Iterator[Event]:
    """Read a single event (learn.microsoft.com, Webhook schema reference); raise `InvalidEvent`."""
    return _pushed(_folded(document(body)))


def _pushed(told: Tree) -> Iterator[Event]:
    kind = text(told, "target", "mediatype")
    if text(told, "action") != "push" or (kind and not any(each in kind for each in _MANIFESTS)):
        return
    registry = text(told, "request", "host") or host_of(text(told, "target", "url"))  # the first is the name that its clients use
    yield event(registry, text(told, "target", "repository"), text(told, "target", "tag") or text(told, "target", "digest"))


def _folded(found: Tree, depth: int = _DEPTH) -> Tree:
    """Write names in lower case: Harbor's driver begins them with a capital, and Go reads both."""
    return {name.lower(): _inner(value, depth - 1) for name, value in found.items()}


def _inner(value: object, depth: int) -> object:
    if depth and isinstance(value, Mapping):
        return _folded(value, depth)
    return [_inner(each, depth - 1) for each in value] if depth and isinstance(value, list) else value
