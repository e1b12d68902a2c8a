"""Images found in what people have: a list, or Kubernetes objects as kubectl and Helm print them."""

import json
from itertools import pairwise

import pytest

from regproxy.warming.image_list import InvalidImageList, images_in

POD = {"kind": "Pod", "spec": {"initContainers": [{"image": "busybox:1"}], "containers": [{"image": "nginx:1.27"}, {"image": "busybox:1"}]}}
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, annotations: {image: not-this}}
spec:
  template:
    spec:
      containers:
        - {name: app, image: "ghcr.io/org/app:2"}
        - {name: odd, image: 7}
---
# a job
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: registry.example:5000/job@sha256:00}]}}}}}
---
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx:1.27\n\n# those of the web team\n  redis:7   # cache\nnginx:1.27\n", ["nginx:1.27", "redis:7"]),
        ("registry.example:5000/app\r\nquay.io/a/b@sha256:00", ["registry.example:5000/app", "quay.io/a/b@sha256:00"]),
        (json.dumps({"kind": "List", "items": [POD, POD]}), ["busybox:1", "nginx:1.27"]),
        (json.dumps(POD, indent=4), ["busybox:1", "nginx:1.27"]),
        (DEPLOYMENT, ["ghcr.io/org/app:2", "registry.example:5000/job@sha256:00"]),
        ("kind: Pod\nspec:\n  ephemeralContainers:\n  - image: debug\n", ["debug"]),
        ("kind: ConfigMap\ndata: {image: x}\n", []),
        ("", []),
        (
            "a: &a [{containers: [{image: x}]}]\n"
            + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghijklm")),
            ["x"],
        ),
        ("&a [*a]", []),
    ],
)
def test_n18_01_images_are_found_once_and_in_order(text: str, expected: list[str]) -> None:
    assert images_in(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "[" * 100 + "]" * 100,
        "{" + '"a": {' * 80 + "}" * 81,
        "kind: Pod\n\x00",
        "nginx one\nredis",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_n18_01_what_is_neither_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(InvalidImageList) as refused:
        images_in(text)
    assert len(str(refused.value).splitlines()) == 1
