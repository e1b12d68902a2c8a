"""Requests as each source documents them, with names of nobody: bodies, and the headers that matter.

docs.docker.com (Webhooks); goharbor.io (Configure webhook notifications) and goharbor/harbor, src/pkg/notifier/formats; distribution
(Notifications); docs.quay.io (Repository notifications); docs.github.com (Webhook events: package); alibabacloud.com (Manage webhooks);
tencentcloud.com (Managing triggers); learn.microsoft.com (ACR webhook schema reference); Amazon ECR user guide (Events and EventBridge);
cloudevents/spec; project-zot/zot, pkg/extensions/events. Huawei documents its trigger's settings, which are Harbor's, and no body.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from regproxy.policy.hooks.sources import Source

DIGEST = f"sha256:{'2cf2' * 16}"
JSON = {"content-type": "application/json"}


class Recorded(NamedTuple):
    """A request, and the event that it is."""

    source: Source
    body: Any
    registry: str
    headers: Mapping[str, str] = JSON
    repository: str = "library/app"
    tag: str = "1"


def harbor(kind: str, registry: str, **more: object) -> dict[str, Any]:
    data = {
        "resources": [{"digest": DIGEST, "tag": "1", "resource_url": f"{registry}/library/app:1"}],
        "repository": {
            "date_created": 1677053165,
            "name": "app",
            "namespace": "library",
            "repo_full_name": "library/app",
            "repo_type": "private",
        },
    }
    return {"type": kind, "occur_at": 1678082303, "operator": "admin", "event_data": data, **more}


def target(registry: str, **more: object) -> dict[str, Any]:
    return {
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "size": 708,
        "digest": DIGEST,
        "length": 708,
        "repository": "library/app",
        "url": f"https://{registry}/v2/library/app/manifests/{DIGEST}",
        "tag": "1",
        **more,
    }


def notification(registry: str, **more: object) -> dict[str, Any]:
    request = {"id": "6df24a34", "addr": "10.0.0.7:56474", "host": registry, "method": "PUT", "useragent": "docker/28.5"}
    event = {"id": "320678d8", "timestamp": "2026-03-04T08:00:00.1Z", "action": "push", "target": target(registry), "request": request}
    return {"events": [{**event, "actor": {"name": "ci"}, "source": {"addr": "registry:5000", "instanceID": "a53db899"}, **more}]}


def kraken(registry: str) -> dict[str, Any]:
    """Write what Harbor's driver marshals (src/pkg/p2p/preheat/models/notification)."""
    wanted = {
        "MediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "Digest": DIGEST,
        "Repository": "library/app",
        "Url": f"https://{registry}/v2/library/app/manifests/1",
        "Tag": "1",
    }
    event = {
        "Id": "tZfT4mdGuU1R",
        "TimeStamp": "2026-03-04T08:00:00.1Z",
        "Action": "push",
        "Target": wanted,
        "Request": None,
        "Actor": None,
    }
    return {"Events": [event]}


def dragonfly(registry: str, target: str = "1", **args: object) -> dict[str, Any]:
    """Write what Harbor's driver marshals (src/pkg/p2p/preheat/provider/dragonfly.go)."""
    wanted = {
        "type": "image",
        "url": f"https://{registry}/v2/library/app/manifests/{target}",
        "tag": "",
        "filtered_query_params": "",
        "headers": {"Authorization": "Bearer canary-of-harbors-registry"},
        "scope": "single_seed_peer",
        "concurrent_count": 0,
        "timeout": 0,
    }
    return {"type": "preheat", "args": {**wanted, **args}, "scheduler_cluster_ids": [1]}


def ecr(region: str, **more: object) -> dict[str, Any]:
    detail = {"result": "SUCCESS", "repository-name": "library/app", "image-digest": DIGEST, "action-type": "PUSH", "image-tag": "1"}
    event = {"version": "0", "id": "13cde686-328b-6117-af20-0e5566167482", "detail-type": "ECR Image Action", "source": "aws.ecr"}
    return {
        **event,
        "account": "123456789012",
        "time": "2026-03-04T08:00:00Z",
        "region": region,
        "resources": [],
        "detail": {**detail, **more},
    }


def cloudevent(kind: str, source: str, data: object, **more: object) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": "4b2f89a6-548d-4c12-9993-a1f5790b97d2",
        "source": source,
        "type": kind,
        "time": "2026-03-04T08:00:00Z",
    }
    return {**event, "datacontenttype": "application/json", "data": data, **more}


def github(**more: object) -> dict[str, Any]:
    version = {"id": 1, "version": DIGEST, "name": DIGEST, "container_metadata": {"tag": {"name": "1", "digest": DIGEST}, "labels": {}}}
    package = {"id": 1, "name": "App", "namespace": "Library", "ecosystem": "CONTAINER", "package_type": "CONTAINER"}
    whole = {
        **package,
        "owner": {"login": "Library", "id": 1},
        "package_version": version,
        "registry": {"name": "GitHub CONTAINER registry"},
    }
    return {"action": "published", "package": {**whole, **more}, "sender": {"login": "ci", "id": 2}}


_DOCKERHUB = {
    "callback_url": "https://registry.hub.docker.com/u/library/app/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/",
    "push_data": {"pushed_at": 1417566161, "pusher": "ci", "tag": "1"},
    "repository": {"name": "app", "namespace": "library", "owner": "library", "repo_name": "library/app", "is_private": True},
}
_QUAY = {
    "name": "app",
    "repository": "library/app",
    "namespace": "library",
    "docker_url": "quay.io/library/app",
    "homepage": "https://quay.io/repository/library/app",
    "updated_tags": ["1"],
}
_ALIYUN = {
    "push_data": {"digest": DIGEST, "pushed_at": "2026-03-04 08:00:00", "tag": "1"},
    "repository": {"date_created": "2026-03-04 07:00:00", "name": "app", "namespace": "library", "region": "cn-hangzhou"}
    | {
        "repo_authentication_type": "NO_CERTIFIED",
        "repo_full_name": "library/app",
        "repo_origin_type": "NO_CERTIFIED",
        "repo_type": "PRIVATE",
    },
}
_AZURE = {
    "id": "cb8c3971-9adc-488b-xxxx-43cbb4974ff5",
    "timestamp": "2026-03-04T08:00:00.1Z",
    "action": "push",
    "target": {key: value for key, value in target("").items() if key != "url"},
    "request": {"id": "3cbb6949", "host": "registry.azurecr.io", "method": "PUT", "useragent": "docker/28.5"},
}
_ZOT = {
    "name": "library/app",
    "reference": "1",
    "digest": DIGEST,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "manifest": "{}",
}
_ECR_DATA = {"repositoryName": "library/app", "imageTag": "1", "imageDigest": DIGEST, "registryId": "123456789012"}

RECORDED = {
    "dockerhub": Recorded(Source.DOCKERHUB, _DOCKERHUB, "docker.io"),
    "harbor": Recorded(Source.HARBOR, harbor("PUSH_ARTIFACT", "harbor.example"), "harbor.example"),
    "harbor as a cloudevent": Recorded(
        Source.HARBOR,
        cloudevent(
            "harbor.artifact.pushed", "/projects/1/webhook/policies/3", harbor("", "harbor.example")["event_data"], operator="admin"
        ),
        "harbor.example",
        {"content-type": "application/cloudevents+json"},
    ),
    "distribution": Recorded(
        Source.DISTRIBUTION,
        notification("registry.example:5000"),
        "registry.example:5000",
        {"content-type": "application/vnd.docker.distribution.events.v2+json"},
    ),
    "quay": Recorded(Source.QUAY, _QUAY, "quay.io"),
    "quay of one's own": Recorded(Source.QUAY, {**_QUAY, "docker_url": "https://quay.example/library/app"}, "quay.example"),
    "github": Recorded(Source.GITHUB, github(), "ghcr.io", {**JSON, "x-github-event": "package"}),
    "aliyun": Recorded(Source.ALIYUN, _ALIYUN, "registry.cn-hangzhou.aliyuncs.com"),
    "tencent": Recorded(Source.TENCENT, harbor("pushImage", "example-bj.tencentcloudcr.com"), "example-bj.tencentcloudcr.com"),
    "huawei": Recorded(Source.HUAWEI, harbor("PUSH_ARTIFACT", "example.swr-pro.myhuaweicloud.com"), "example.swr-pro.myhuaweicloud.com"),
    "azure": Recorded(Source.AZURE, _AZURE, "registry.azurecr.io"),
    "ecr": Recorded(Source.ECR, ecr("us-west-2"), "123456789012.dkr.ecr.us-west-2.amazonaws.com"),
    "ecr in china": Recorded(Source.ECR, ecr("cn-north-1"), "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
    "ecr by an input transformer": Recorded(
        Source.ECR,
        cloudevent("com.amazon.ecr.image.push", "urn:aws:ecr:us-west-2:123456789012:repository/library/app", _ECR_DATA),
        "123456789012.dkr.ecr.us-west-2.amazonaws.com",
    ),
    "zot in binary mode": Recorded(
        Source.CLOUDEVENTS,
        _ZOT,
        "",
        {**JSON, "ce-specversion": "1.0", "ce-type": "zotregistry.image.updated", "ce-source": "zotregistry.dev", "ce-id": "1"},
    ),
    "a batch": Recorded(
        Source.CLOUDEVENTS,
        [cloudevent("zotregistry.image.updated", "zotregistry.dev", _ZOT)] * 2,
        "",
        {"content-type": "application/cloudevents-batch+json"},
    ),
    "harbor at the common source": Recorded(
        Source.CLOUDEVENTS,
        cloudevent("harbor.artifact.pushed", "/projects/1", harbor("", "harbor.example")["event_data"]),
        "harbor.example",
    ),
    "a cloudevent of anybody": Recorded(
        Source.CLOUDEVENTS,
        cloudevent("example.container.pushed", "https://registry.example/events", None, subject="library/app:1"),
        "registry.example",
    ),
    "kraken": Recorded(Source.KRAKEN, kraken("harbor.example"), "harbor.example"),
}
