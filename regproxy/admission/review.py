"""What is decided about a Pod, by plain functions: an AdmissionReview (admission.k8s.io/v1) in, its response out."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.permitted import check_denied
from regproxy.policy.routing import Route, Routes

_MIRROR = "kubernetes.io/config.mirror"  # a static Pod's, which the kubelet runs whatever we say
_LISTS = ("initContainers", "containers", "ephemeralContainers")
_FORBIDDEN = 403
_MAX_CONTAINERS = 500  # a Pod of more is denied, as it was not looked at; none of a real cluster has them
_MAX_MESSAGE = 2000  # characters


class NotAReview(ValueError):
    """The document is no AdmissionReview of admission.k8s.io/v1 about a Pod."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a Pod, and where it stands there."""

    field: str
    index: int
    name: str
    image: str

    @property
    def pointer(self) -> str:
        """Where its image stands: a JSON Pointer (RFC 6901)."""
        return f"/spec/{self.field}/{self.index}/image"


@dataclass(frozen=True, slots=True)
class Review:
    """A Pod that is about to be made or changed; *containers* are those whose images are new to it."""

    uid: str
    namespace: str
    is_mirror: bool
    containers: tuple[Container, ...]  # not all of them where they are too many

    @property
    def has_too_many(self) -> bool:
        return len(self.containers) > _MAX_CONTAINERS


@dataclass(frozen=True, slots=True)
class Exemptions:
    """Namespaces that are left alone: what they run has to run whatever becomes of us."""

    namespaces: frozenset[str] = frozenset({"kube-system"})

    def cover(self, review: Review) -> bool:
        return review.is_mirror or review.namespace in self.namespaces


def parse_review(document: object) -> Review:
    """Read an AdmissionReview; raise `NotAReview`. Operations other than CREATE, or UPDATE of containers, have none."""
    match document:
        case {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": str(uid)} as request}:
            pass
        case _:
            raise NotAReview("not an AdmissionReview of admission.k8s.io/v1 with a request")
    pod = _mapping(request.get("object"))
    is_mirror = _MIRROR in _mapping(_mapping(pod.get("metadata")).get("annotations"))
    return Review(uid, str(request.get("namespace", "")), is_mirror, tuple(islice(_new_containers(request, pod), _MAX_CONTAINERS + 1)))


def _new_containers(request: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[Container]:
    if _mapping(request.get("resource")).get("resource") != "pods":
        return
    match request.get("operation"), request.get("subResource") or "":
        case "CREATE", "":
            yield from _containers(pod)
        case "UPDATE", "" | "ephemeralcontainers":  # of the first, images are all of a container that may change
            known = {(container.field, container.name, container.image) for container in _containers(_mapping(request.get("oldObject")))}
            yield from (each for each in _containers(pod) if (each.field, each.name, each.image) not in known)


def _containers(pod: Mapping[str, Any]) -> Iterator[Container]:
    spec = _mapping(pod.get("spec"))
    for field in _LISTS:
        listed = spec.get(field)
        for index, container in enumerate(listed if isinstance(listed, list) else ()):
            image = _mapping(container).get("image")
            if isinstance(image, str) and image:
                yield Container(field, index, str(container.get("name", "")), image)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def find_image(routes: Routes, image: str) -> tuple[Route, Reference] | None:
    """Find what a kubelet pulls for *image*; None where it is no image, or of a registry that is not configured.

    Of `name:tag@digest` the digest counts alone.
    """
    name, at, digest = image.partition("@")
    if at and ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    try:
        return routes.image(f"{name}{at}{digest}")
    except (RegistryError, ValueError):
        return None


def denial(review: Review, exemptions: Exemptions, routes: Routes) -> str | None:
    """Return why the Pod may not be made, by the same rules as its pulls; None where it may."""
    if exemptions.cover(review):
        return None
    if review.has_too_many:
        return f"a Pod of more than {_MAX_CONTAINERS} containers is not looked at"
    found = []
    for container in review.containers:
        if (image := find_image(routes, container.image)) is None:
            continue
        try:
            check_denied(image[0], image[1].target)
        except RegistryError as error:
            found.append(f"container {container.name}: {error.message}")
    return "; ".join(found)[:_MAX_MESSAGE] or None


def images_to_pin(review: Review, exemptions: Exemptions, routes: Routes) -> dict[str, Reference]:
    """Return the images that are named by a tag, by what is written in the Pod; those that are denied are left for the denial."""
    if exemptions.cover(review) or review.has_too_many:
        return {}
    found: dict[str, Reference] = {}
    for container in review.containers:
        image = find_image(routes, container.image)
        if image is None or not isinstance(image[1].target, Tag) or _is_denied(*image):
            continue
        found[container.image] = image[1]
    return found


def _is_denied(route: Route, reference: Reference) -> bool:
    try:
        check_denied(route, reference.target)
    except RegistryError:
        return True
    return False


def patch(review: Review, pins: Mapping[str, Digest]) -> list[dict[str, str]]:
    """Write a JSON Patch (RFC 6902) that appends to each image the digest it means; *pins* are by what is written in the Pod."""
    return [
        {"op": "replace", "path": container.pointer, "value": f"{container.image}@{pins[container.image]}"}
        for container in review.containers
        if container.image in pins
    ]


def allowed(review: Review, operations: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Write the answer that lets the Pod be made, with *operations* done to it."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": True}
    if operations:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
    return _reviewed(response)


def refused(review: Review, reason: str) -> dict[str, Any]:
    """Write the answer that refuses the Pod; *reason* is shown to who makes it."""
    status = {"code": _FORBIDDEN, "reason": "Forbidden", "message": f"regproxy: {reason}"}
    return _reviewed({"uid": review.uid, "allowed": False, "status": status})


def _reviewed(response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
