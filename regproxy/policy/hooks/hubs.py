"""Webhooks of Docker Hub, Quay, GitHub's packages and Aliyun ACR: one repository each, and its tag or tags."""

from collections.abc import Iterator

from regproxy.policy.hooks.event import Event, Headers, InvalidEvent, document, event, host_of, text

_DOCKER_HUB = "docker.io"
_QUAY = "quay.io"
_GITHUB = "ghcr.io"
_PACKAGES = frozenset({"package", "registry_package"})  # X-GitHub-Event, and the name of what is told


def dockerhub(body: bytes, _: Headers) -> Iterator[Event]:
    """Read a push (docs.docker.com, Webhooks); raise `InvalidEvent`."""
    found = document(body)
    yield event(_DOCKER_HUB, text(found, "repository", "repo_name"), text(found, "push_data", "tag"))


def quay(body: bytes, _: Headers) -> Iterator[Event]:
    """Read a repository push (docs.quay.io, Repository notifications); other notifications name no tags. Raise `InvalidEvent`."""
    found = document(body)
    tags = found.get("updated_tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidEvent("updated_tags is not a list of tags")
    for tag in tags:
        yield event(host_of(text(found, "docker_url")) or _QUAY, text(found, "repository"), tag)


def github(body: bytes, headers: Headers) -> Iterator[Event]:
    """Read a published container (docs.github.com, Webhook events: package, registry_package); raise `InvalidEvent`."""
    if headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded":
        raise InvalidEvent("the body is a form: set the webhook's content type to application/json")
    kind = headers.get("x-github-event", "")
    found = document(body)
    if kind not in _PACKAGES or text(found, "action") not in {"published", "updated"}:
        return
    if text(found, kind, "package_type").lower() != "container":
        return
    owner, name = text(found, kind, "owner", "login"), text(found, kind, "name")
    if tag := text(found, kind, "package_version", "container_metadata", "tag", "name"):  # none: an untagged version, as of a platform
        yield event(_GITHUB, f"{owner}/{name}".lower(), tag)


def aliyun(body: bytes, _: Headers) -> Iterator[Event]:
    """Read a push (alibabacloud.com, Manage webhooks); the name of an enterprise instance is not in it. Raise `InvalidEvent`."""
    found = document(body)
    region = text(found, "repository", "region")
    yield event(
        f"registry.{region}.aliyuncs.com" if region else "", text(found, "repository", "repo_full_name"), text(found, "push_data", "tag")
    )
