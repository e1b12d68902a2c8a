"""CloudEvents 1.0 over HTTP, one or a batch, and what their data is: of Harbor, of zot, of ECR by EventBridge, or of anybody.

Sources: cloudevents/spec, HTTP protocol binding; goharbor/harbor, src/pkg/notifier/formats; project-zot/zot, pkg/extensions/events;
Amazon ECR user guide, Events and EventBridge.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from regproxy.policy.hooks.event import Event, Headers, InvalidEvent, Tree, document, event, host_of, parsed, text
from regproxy.policy.hooks.harbor import pushed

_ECR = re.compile(r"(?:urn|arn):aws(?:-[a-z-]+)?:ecr:(?P<region>[a-z0-9-]+):(?P<account>[0-9]+):.*")
_ECR_PUSH = ["ECR Image Action", "PUSH", "SUCCESS"]
_CHINA = "cn-"  # regions of another domain
_KNOWN = ("harbor.", "zotregistry.")  # whose other events are no pushes
_OTHERS = ("container", "image", "artifact")  # in the type of what may name an image


def cloudevents(body: bytes, headers: Headers) -> Iterator[Event]:
    """Read what was pushed, of events in structured, batched or binary mode; raise `InvalidEvent`."""
    for each in _events(body, headers):
        yield from _pushed(each)


def ecr(body: bytes, _: Headers) -> Iterator[Event]:
    """Read an "ECR Image Action" as EventBridge sends it, or made into a CloudEvent by an input transformer; raise `InvalidEvent`."""
    found = document(body)
    if "specversion" in found:
        yield from _pushed(found)
    elif [text(found, "detail-type"), *(text(found, "detail", name) for name in ("action-type", "result"))] == _ECR_PUSH:
        registry = _ecr(text(found, "account"), text(found, "region"))
        target = text(found, "detail", "image-tag") or text(found, "detail", "image-digest")
        yield event(registry, text(found, "detail", "repository-name"), target)


def _events(body: bytes, headers: Headers) -> Iterator[Tree]:
    if "ce-specversion" in headers:
        attributes = {name: unquote(headers.get(f"ce-{name}", "")) for name in ("type", "source", "subject")}
        yield {**attributes, "data": document(body) if body else {}}
        return
    found = parsed(body)
    several: list[object] = found if isinstance(found, list) else [found]
    for each in several:
        if not isinstance(each, dict) or "specversion" not in each:
            raise InvalidEvent("the body is no CloudEvent: it has no specversion")
        yield each


def _pushed(told: Tree) -> Iterator[Event]:
    kind, data = text(told, "type"), told.get("data")
    if not isinstance(data, Mapping):
        data = {}
    match kind:
        case "harbor.artifact.pushed":
            yield from pushed(data)
        case "zotregistry.image.updated":
            yield event("", text(data, "name"), text(data, "reference"))
        case _ if kind.startswith("com.amazon.ecr."):
            found = _ECR.fullmatch(text(told, "source"))
            yield _named(told, data, _ecr(text(data, "registryId") or found["account"], found["region"]) if found else "")
        case _ if not kind.startswith(_KNOWN) and any(each in kind for each in _OTHERS):
            source = text(told, "source")
            yield _named(told, data, text(data, "registryUrl") or text(data, "registry") or (source if "://" in source else ""))


def _named(told: Tree, data: Tree, registry: str) -> Event:
    """Take the names of ECR's, else shorter ones, else a subject such as `org/app:1`."""
    repository, _, tag = text(told, "subject").partition(":")
    repository = text(data, "repositoryName") or text(data, "repository") or repository
    tag = text(data, "imageTag") or text(data, "tag") or tag
    return event(host_of(registry), repository, tag or text(data, "imageDigest") or text(data, "digest"))


def _ecr(account: str, region: str) -> str:
    return f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith(_CHINA) else ''}" if account and region else ""
