"""What is decided about Pods, on AdmissionReview documents."""

import base64
import json
from typing import Any

import pytest

from regproxy.admission.review import (
    Exemptions,
    NotAReview,
    allowed,
    denial,
    find_image,
    images_to_pin,
    parse_review,
    patch,
    refused,
)
from regproxy.config import load
from regproxy.oci.digest import Digest
from regproxy.policy.routing import Routes

DIGEST = Digest.parse("sha256:" + "a" * 64)
OURS = Exemptions(frozenset({"kube-system", "regproxy"}))


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Routes:
    file = tmp_path_factory.mktemp("admission") / "regproxy.yaml"
    file.write_text(
        "upstreams: {docker.io: {deny: ['*:latest', 'library/evil:*', 'library/bare']},"
        " 'registry.internal:5000': {hosts: [{url: 'http://registry.internal:5000'}], deny: ['*:latest']}}"
    )
    settings = load(file, {})
    return Routes(settings.upstreams, settings.default_upstream)


def pod(
    *images: str, init: tuple[str, ...] = (), ephemeral: tuple[str, ...] = (), annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    def containers(kind: str, listed: tuple[str, ...]) -> list[dict[str, str]]:
        return [{"name": f"{kind}{index}", "image": image} for index, image in enumerate(listed)]

    spec = {"containers": containers("c", images), "initContainers": containers("i", init)}
    if ephemeral:
        spec["ephemeralContainers"] = containers("e", ephemeral)
    return {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": spec}


def document(
    made: object, namespace: str = "default", operation: str = "CREATE", sub: str = "", old: object = None, kind: str = "pods"
) -> dict[str, Any]:
    request = {"uid": "u-1", "namespace": namespace, "operation": operation, "object": made, "oldObject": old}
    resource = {"group": "", "version": "v1", "resource": kind}
    request |= {"resource": resource, "subResource": sub}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.mark.parametrize(
    ("image", "is_denied"),
    [
        ("nginx", True),
        ("nginx:latest", True),
        ("nginx:1.27", False),
        ("docker.io/library/nginx", True),
        ("index.docker.io/library/nginx:latest", True),
        ("evil:1", True),
        (f"evil@{DIGEST}", True),
        ("bare:1", True),
        (f"bare:1@{DIGEST}", True),
        ("registry.internal:5000/team/app", True),
        ("registry.internal:5000/team/app:latest", True),
        ("registry.internal:5000/team/app:1", False),
        (f"nginx@{DIGEST}", False),
        (f"nginx:latest@{DIGEST}", False),
        ("elsewhere.example:5000/app", False),
        ("not an image", False),
    ],
)
def test_n15_02_a_pod_is_denied_by_the_rules_of_its_pulls(routes: Routes, image: str, is_denied: bool) -> None:
    for made in (pod(image), pod("nginx:1", init=(image,)), pod("nginx:1", ephemeral=(image,))):
        reason = denial(parse_review(document(made)), OURS, routes)
        assert (reason is not None) == is_denied, reason


def test_n15_02_a_denial_names_the_container_and_the_rule(routes: Routes) -> None:
    review = parse_review(document(pod("nginx:1", init=("nginx",))))
    reason = denial(review, OURS, routes)
    assert reason is not None
    assert "container i0" in reason
    assert "'*:latest'" in reason
    response = refused(review, reason)["response"]
    assert (response["uid"], response["allowed"], response["status"]["code"]) == ("u-1", False, 403)


def test_n15_02_tags_are_pinned_and_digests_left(routes: Routes) -> None:
    review = parse_review(document(pod("nginx:1.27", f"nginx@{DIGEST}", "elsewhere.example/app:1", init=("registry.internal:5000/a/b:2",))))
    wanted = images_to_pin(review, OURS, routes)
    assert {name: str(reference) for name, reference in wanted.items()} == {
        "nginx:1.27": "docker.io/library/nginx:1.27",
        "registry.internal:5000/a/b:2": "registry.internal:5000/a/b:2",
    }
    operations = patch(review, dict.fromkeys(wanted, DIGEST))
    assert operations == [
        {"op": "replace", "path": "/spec/initContainers/0/image", "value": f"registry.internal:5000/a/b:2@{DIGEST}"},
        {"op": "replace", "path": "/spec/containers/0/image", "value": f"nginx:1.27@{DIGEST}"},
    ]
    response = allowed(review, operations)["response"]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == operations


def test_n15_02_what_is_pinned_is_pulled_by_its_digest(routes: Routes) -> None:
    found = find_image(routes, f"registry.internal:5000/a/b:2@{DIGEST}")
    assert found is not None
    assert str(found[1]) == f"registry.internal:5000/a/b@{DIGEST}"


def test_n15_02_a_denied_image_is_left_for_the_denial(routes: Routes) -> None:
    assert images_to_pin(parse_review(document(pod("nginx:latest"))), OURS, routes) == {}


@pytest.mark.parametrize("namespace", ["kube-system", "regproxy"])
def test_n15_02_what_must_run_is_left_alone(routes: Routes, namespace: str) -> None:
    review = parse_review(document(pod("nginx:latest", "nginx:1"), namespace))
    assert denial(review, OURS, routes) is None
    assert images_to_pin(review, OURS, routes) == {}


def test_n15_02_a_mirror_pod_is_left_alone(routes: Routes) -> None:
    review = parse_review(document(pod("nginx:latest", "nginx:1", annotations={"kubernetes.io/config.mirror": "x"})))
    assert denial(review, OURS, routes) is None
    assert images_to_pin(review, OURS, routes) == {}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(document(pod("nginx"), operation="UPDATE", old=pod("nginx")), id="a Pod that runs"),
        pytest.param(document({"spec": {"template": pod("nginx")}}, kind="deployments"), id="a Deployment rolled back"),
        pytest.param(document(None, operation="DELETE", old=pod("nginx")), id="a Pod that goes"),
        pytest.param(document({"spec": {"containers": "x"}}), id="no list"),
        pytest.param(document({"spec": {"containers": [None, {"image": 1}, {}]}}), id="no containers"),
    ],
)
def test_n15_02_nothing_else_is_looked_at(routes: Routes, asked: object) -> None:
    review = parse_review(asked)
    assert review.containers == ()
    assert denial(review, OURS, routes) is None
    assert allowed(review)["response"] == {"uid": "u-1", "allowed": True}


def test_n15_02_only_new_ephemeral_containers_are_looked_at(routes: Routes) -> None:
    old = pod("nginx", ephemeral=("nginx:latest",))
    asked = document(pod("nginx", ephemeral=("nginx:latest", "nginx:2")), operation="UPDATE", sub="ephemeralcontainers", old=old)
    review = parse_review(asked)
    assert denial(review, OURS, routes) is None
    assert [each["path"] for each in patch(review, {"nginx:2": DIGEST, "nginx:latest": DIGEST})] == ["/spec/ephemeralContainers/1/image"]


@pytest.mark.parametrize("init", [(), ("nginx:1",)], ids=["a container", "an init container"])
def test_n15_02_a_running_pod_is_given_no_image_that_is_denied(routes: Routes, init: tuple[str, ...]) -> None:
    """`kubectl set image` changes Pods, too."""
    old = pod("nginx:1", "nginx", init=init)
    made = pod("nginx:1", "nginx", init=("nginx",)) if init else pod("nginx:latest", "nginx")
    review = parse_review(document(made, operation="UPDATE", old=old))
    assert [each.image for each in review.containers] == [made["spec"]["initContainers" if init else "containers"][0]["image"]]
    assert denial(review, OURS, routes) is not None


def test_n15_02_what_is_too_much_to_look_at_is_denied(routes: Routes) -> None:
    """A denied image behind hundreds of others would pass otherwise."""
    review = parse_review(document(pod(*["nginx:1"] * 100_000, "nginx:latest")))
    assert denial(review, OURS, routes) == "a Pod of more than 500 containers is not looked at"
    assert images_to_pin(review, OURS, routes) == {}
    assert len(review.containers) == 501
    assert denial(parse_review(document(pod(*["nginx:1"] * 500))), OURS, routes) is None


@pytest.mark.parametrize(
    "asked", [None, [], {}, {"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": ""}}]
)
def test_n15_02_what_is_no_review_is_refused(asked: object) -> None:
    with pytest.raises(NotAReview):
        parse_review(asked)
