"""Harbor's webhooks, in its own format and as CloudEvents (goharbor/harbor, src/pkg/notifier/formats).

The triggers of Tencent TCR and of Huawei SWR's enterprise edition send the same: `pushImage` is what Harbor 1 called it.
"""

from collections.abc import Iterator

from regproxy.policy.hooks.event import Event, Headers, Tree, document, event, host_of, objects, text

_PUSHES = frozenset({"PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"})


def harbor(body: bytes, _: Headers) -> Iterator[Event]:
    """Read what was pushed; raise `InvalidEvent`."""
    found = document(body)
    if text(found, "type") in _PUSHES:
        data = found.get("event_data") or found.get("data")
        yield from pushed(data if isinstance(data, dict) else {})


def pushed(data: Tree) -> Iterator[Event]:
    """Read the data of a push, whatever was around it; raise `InvalidEvent`."""
    repository = text(data, "repository", "repo_full_name")
    for resource in objects(data, "resources"):
        yield event(host_of(text(resource, "resource_url")), repository, text(resource, "tag") or text(resource, "digest"))
