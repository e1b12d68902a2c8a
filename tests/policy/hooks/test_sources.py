"""What each source sends is read as it documents it; what it does not send is refused in one line, or is no event."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Tag
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.credential import Secret
from regproxy.policy.hooks.event import MAX_EVENTS, Event, InvalidEvent, document, event, objects, text
from regproxy.policy.hooks.preheat import Preheat, preheat
from regproxy.policy.hooks.sender import Shown
from regproxy.policy.hooks.sources import Hook, Source, read
from tests.policy.hooks.recorded import (
    DIGEST,
    JSON,
    RECORDED,
    Recorded,
    cloudevent,
    dragonfly,
    ecr,
    github,
    harbor,
    kraken,
    notification,
    target,
)


def body(content: object) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_n18_10_what_each_source_documents_is_an_event(recorded: Recorded) -> None:
    found = read(recorded.source, body(recorded.body), recorded.headers)
    assert found == (Event(recorded.registry, recorded.repository, Tag(recorded.tag)),)


NO_EVENTS: list[tuple[Source, Any, dict[str, str]]] = [
    (Source.HARBOR, harbor("PULL_ARTIFACT", "harbor.example"), {}),
    (Source.HARBOR, {"type": "PUSH_ARTIFACT", "event_data": None}, {}),
    (Source.DISTRIBUTION, notification("registry.example", action="pull"), {}),
    (Source.DISTRIBUTION, notification("registry.example", target=target("registry.example", mediaType="application/octet-stream")), {}),
    (Source.DISTRIBUTION, {"events": None}, {}),
    (Source.QUAY, {"repository": "library/app", "vulnerability": {}}, {}),
    (Source.GITHUB, {"zen": "Design for failure.", "hook_id": 1}, {"x-github-event": "ping"}),
    (Source.GITHUB, {**github(), "action": "deleted"}, {"x-github-event": "package"}),
    (Source.GITHUB, github(package_type="npm"), {"x-github-event": "package"}),
    (Source.GITHUB, github(package_version={"container_metadata": {"tag": {"name": ""}}}), {"x-github-event": "package"}),
    (Source.GITHUB, github(package_version=None), {"x-github-event": "package"}),
    (Source.AZURE, {"action": "ping"}, {}),
    (Source.ECR, ecr("us-west-2", **{"action-type": "DELETE"}), {}),
    (Source.ECR, ecr("us-west-2", result="FAILURE"), {}),
    (Source.CLOUDEVENTS, cloudevent("zotregistry.image.deleted", "zotregistry.dev", {"name": "library/app", "reference": "1"}), {}),
    (Source.CLOUDEVENTS, cloudevent("harbor.artifact.deleted", "/projects/1", harbor("", "harbor.example")["event_data"]), {}),
    (Source.CLOUDEVENTS, {}, {"ce-specversion": "1.0", "ce-type": "org.example.other"}),
    (Source.CLOUDEVENTS, [], {}),
    (Source.KRAKEN, {"Events": []}, {}),
]


@pytest.mark.parametrize(("source", "content", "headers"), NO_EVENTS)
def test_n18_10_what_is_no_push_is_no_event(source: Source, content: object, headers: dict[str, str]) -> None:
    assert read(source, body(content), headers) == ()


def test_n18_10_a_push_without_a_tag_is_one_of_a_digest() -> None:
    by_digest = target("registry.example", tag="")
    pushed = Event("registry.example", "library/app", Digest.parse(DIGEST))
    assert read(Source.DISTRIBUTION, body(notification("registry.example", target=by_digest)), {}) == (pushed,)
    registry = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
    found = read(Source.ECR, body(ecr("us-west-2", **{"image-tag": ""})), {})
    assert found == (Event(registry, "library/app", pushed.target),)
    named = {"registry": "registry.example", "repository": "library/app", "digest": DIGEST}
    assert read(Source.CLOUDEVENTS, body(cloudevent("org.example.artifact", "x", named)), {}) == (pushed,)


def test_n18_10_what_names_no_registry_is_told_so() -> None:
    nameless = cloudevent("com.amazon.ecr.image.push", "somewhere", {"repositoryName": "library/app", "imageTag": "1"})
    assert [each.registry for each in read(Source.CLOUDEVENTS, body(nameless), {})] == [""]
    assert [each.registry for each in read(Source.ECR, body({**ecr("us-west-2"), "account": ""}), {})] == [""]
    pushed = {"push_data": {"tag": "1"}, "repository": {"repo_full_name": "library/app"}}
    assert [each.registry for each in read(Source.ALIYUN, body(pushed), {})] == [""]
    without = notification("registry.example", request=None)
    assert [each.registry for each in read(Source.DISTRIBUTION, body(without), {})] == ["registry.example"]


INVALID: list[tuple[Source, bytes, str]] = [
    (Source.DOCKERHUB, b"", "not JSON"),
    (Source.DOCKERHUB, b"\xff\xfe\xfd", "not JSON"),
    (Source.DOCKERHUB, b"[" * 100_000, "not JSON"),
    (Source.DOCKERHUB, b"[]", "not a JSON object"),
    (Source.DOCKERHUB, b"{}", "'' is not a repository"),
    (Source.DOCKERHUB, b'{"repository": "library/app"}', "not where it should be"),
    (Source.DOCKERHUB, b'{"repository": {"repo_name": 7}}', "repository.repo_name is not text"),
    (Source.DOCKERHUB, b'{"repository": {"repo_name": "../app"}, "push_data": {"tag": "1"}}', "is not a repository"),
    (Source.DOCKERHUB, b'{"repository": {"repo_name": "app"}, "push_data": {"tag": "a b"}}', "neither a tag nor a digest"),
    (Source.DOCKERHUB, b'{"repository": {"repo_name": "app"}, "push_data": {"tag": "sha256:1"}}', "neither a tag nor a digest"),
    (Source.QUAY, b'{"updated_tags": ["1", 2]}', "not a list of tags"),
    (Source.QUAY, body({"repository": "a", "updated_tags": ["1"] * (MAX_EVENTS + 1)}), "more than 1000 events"),
    (Source.QUAY, body({"repository": "a", "updated_tags": ["1"], "docker_url": "a" * 300}), "is not a registry"),
    (Source.QUAY, body({"repository": "a", "updated_tags": ["1"], "docker_url": "ä.example"}), "is not a registry"),
    (Source.HARBOR, b'{"type": "PUSH_ARTIFACT", "event_data": {"resources": {}}}', "not a list of objects"),
    (Source.HARBOR, b'{"type": "PUSH_ARTIFACT", "event_data": {"resources": [1]}}', "not a list of objects"),
    (Source.CLOUDEVENTS, b'{"type": "x"}', "no specversion"),
    (Source.CLOUDEVENTS, b"[1]", "no specversion"),
    (Source.DISTRIBUTION, b'{"events": [' + b"[" * 500 + b"]" * 500 + b"]}", "not a list of objects"),
]


@pytest.mark.parametrize(("source", "content", "reason"), INVALID)
def test_n18_10_what_is_no_event_is_refused_in_one_line(source: Source, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason) as refused:
        read(source, content, JSON)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_n18_10_a_form_of_github_is_told_what_to_change() -> None:
    with pytest.raises(InvalidEvent, match="application/json"):
        read(Source.GITHUB, b"payload=%7B%7D", {"content-type": "application/x-www-form-urlencoded; charset=utf-8"})


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "events", "Target", "data", "detail"]), inner),
)


@given(st.sampled_from([each for each in Source if each is not Source.DRAGONFLY]), _TREES, st.sampled_from(["package", ""]))
def test_n18_10_no_body_does_more_than_be_refused(source: Source, content: object, kind: str) -> None:
    headers = {"x-github-event": kind, **({"ce-specversion": "1.0", "ce-type": "image"} if kind else {})}
    with contextlib.suppress(InvalidEvent):
        assert all(isinstance(each, Event) for each in read(source, body(content), headers))
    with contextlib.suppress(InvalidEvent):
        preheat(body(content))


def test_n18_10_parts_are_read_as_they_are() -> None:
    assert event("Registry.Example:5000", "a", "1").registry == "registry.example:5000"
    assert text(document(b'{"a": null}'), "a", "b") == ""
    assert objects({}, "events") == ()


def test_n18_12_a_job_of_dragonfly_is_an_image_and_carries_no_credential() -> None:
    found = preheat(body(dragonfly("harbor.example", platform="linux/amd64")))
    assert found == Preheat(Event("harbor.example", "library/app", Tag("1")), ("linux/amd64",))
    assert "canary" not in repr(found)
    assert preheat(body(dragonfly("harbor.example", target=DIGEST))).image.target == Digest.parse(DIGEST)
    assert read(Source.KRAKEN, body(kraken("harbor.example")), {})[0].target == Tag("1")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"type": "preheat", "args": {"type": "file", "url": "https://files.example/a"}}, "only jobs of type preheat"),
        ({**dragonfly("harbor.example"), "type": "sync_peers"}, "only jobs of type preheat"),
        (dragonfly("harbor.example", url="https://harbor.example/v2/library/app/blobs/1"), "args.url is not"),
        (dragonfly("harbor.example", platform="amd64"), "args.platform .* is not a platform"),
    ],
)
def test_n18_12_a_job_that_is_none_is_refused(content: object, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        preheat(body(content))


SECRET = "canary-of-a-hook-0123456789"
RATE = Rate(1, 1)


def hook(source: Source, secret: str | None = SECRET) -> Hook:
    return Hook(source, None if secret is None else Secret(secret), None, RATE)


def test_n18_11_an_open_hook_admits_anybody() -> None:
    assert hook(Source.KRAKEN, None).admits(Shown(), b"")


def test_n18_11_only_sources_that_can_send_no_header_show_the_secret_in_the_url() -> None:
    by_url = {each for each in Source if hook(each).admits(Shown(in_url=[SECRET]), b"")}
    assert by_url == {Source.DOCKERHUB, Source.QUAY, Source.ALIYUN, Source.CLOUDEVENTS}
    assert not hook(Source.QUAY).admits(Shown(in_url=[SECRET[:-1]]), b"")


def test_n18_11_only_drivers_preheat() -> None:
    assert {each for each in Source if each.preheats} == {Source.KRAKEN, Source.DRAGONFLY}
