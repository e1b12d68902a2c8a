"""What Helm makes of values: the rules, and not whole files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.go_programs import go_program

from .chart import CHART, KUBERNETES, Refused, Rendered
from .readme import with_table

MODES = ("cluster", "node", "both")
EVERYTHING = {
    "image": {"repository": "registry.internal/regproxy"},
    "clientConfig": {"enabled": True},
    "metrics": {each: {"enabled": True} for each in ("serviceMonitor", "prometheusRule", "grafanaDashboard")},
    "admission": {"enabled": True, "policy": {"enabled": True}},
    "upstreamCredentials": {"docker.io": {"existingSecret": "hub"}},
    "existingSecret": "env",
    "tls": {"existingSecret": "tls"},
    "store": {"behind": {"url": "s3://bucket/regproxy", "endpoint": "https://s3.example.com", "existingSecret": "bucket"}},
}
_KEY = "canary-0123456789abcdef0123456789abcdef"
FLEET = {"fleet": {"enabled": True, "existingSecret": "fleet"}}
NODES_KEY = {"enabled": True, "existingSecret": "nodes"}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Rendered]:
    return {mode: Rendered({"mode": mode, **EVERYTHING}) for mode in MODES}


def test_n15_01_helm_lint_finds_nothing() -> None:
    for mode in MODES:
        command = [str(go_program("helm")), "lint", str(CHART), "--strict", f"--kube-version={KUBERNETES}", "--values=-"]
        done = subprocess.run(command, input=json.dumps({"mode": mode, **EVERYTHING}), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert "[WARNING]" not in done.stdout


def test_n15_01_the_defaults_render() -> None:
    names = {(document["kind"], document["metadata"]["name"]) for document in Rendered().documents}
    assert {("StatefulSet", "rp-regproxy"), ("Service", "rp-regproxy"), ("PodDisruptionBudget", "rp-regproxy")} <= names
    assert not any(kind in {"DaemonSet", "PrometheusRule", "ServiceMonitor", "MutatingWebhookConfiguration"} for kind, _ in names)


def test_n15_01_each_mode_runs_what_it_says(rendered: dict[str, Rendered]) -> None:
    for mode in MODES:
        assert rendered[mode].has("StatefulSet", "rp-regproxy") == (mode != "node")
        assert rendered[mode].has("DaemonSet", "rp-regproxy-node") == (mode != "cluster")
        assert rendered[mode].has("DaemonSet", "rp-regproxy-client-config")


def test_n15_01_the_cluster_cache_may_lose_one_replica_at_a_time(rendered: dict[str, Rendered]) -> None:
    found = rendered["cluster"].one("StatefulSet", "rp-regproxy")["spec"]
    assert found["podManagementPolicy"] == "Parallel"
    assert "preferredDuringSchedulingIgnoredDuringExecution" in found["template"]["spec"]["affinity"]["podAntiAffinity"]
    [claim] = found["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "100Gi"
    assert rendered["cluster"].one("PodDisruptionBudget", "rp-regproxy")["spec"]["maxUnavailable"] == 1
    peers = rendered["cluster"].one("Service", found["serviceName"])["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)


@pytest.mark.parametrize(("version", "wanted"), [("1.29.0", None), ("1.31.2", "PreferClose"), ("1.34.4", "PreferSameZone")])
def test_n15_01_traffic_stays_near_where_the_cluster_knows_how(version: str, wanted: str | None) -> None:
    service = Rendered(kubernetes=version).one("Service", "rp-regproxy")["spec"]
    assert service.get("trafficDistribution") == wanted


def test_n15_01_a_pod_is_restricted_unless_it_has_the_node(rendered: dict[str, Rendered]) -> None:
    """Pod Security Standards, "Restricted": only what works on the node itself may be more."""
    for mode in MODES:
        for name, pod in rendered[mode].pods().items():
            assert pod["enableServiceLinks"] is False, name
            has_node = any("hostPath" in volume for volume in pod["volumes"])
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                security = container["securityContext"]
                assert security["allowPrivilegeEscalation"] is False, name
                assert security["readOnlyRootFilesystem"] is True, name
                assert security["capabilities"]["drop"] == ["ALL"], name
                assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
                if security.get("runAsUser") == 0:
                    assert has_node, name
                else:
                    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001), name
                    assert "add" not in security["capabilities"], name
            assert has_node or not any("hostPort" in port for each in pod["containers"] for port in each.get("ports", [])), name


def test_n15_01_a_token_is_only_for_those_who_wait(rendered: dict[str, Rendered]) -> None:
    for mode in MODES:
        for name, pod in rendered[mode].pods().items():
            assert pod["automountServiceAccountToken"] is name.startswith("Job/rp-regproxy-undo-"), name


def test_n15_01_the_cache_alone_has_passwords(rendered: dict[str, Rendered]) -> None:
    """In a row the nodes' caches ask the cluster's, which has them."""
    for mode in MODES:
        holders = {name for name, pod in rendered[mode].pods().items() if '"secretName": "hub"' in json.dumps(pod)}
        assert holders == {"DaemonSet/rp-regproxy-node" if mode == "node" else "StatefulSet/rp-regproxy"}
        assert holders == {name for name, pod in rendered[mode].pods().items() if '{"name": "env"}' in json.dumps(pod)}


def test_n15_01_the_configuration_is_what_regproxy_takes(tmp_path: Path) -> None:
    """`regproxy check` reads each one, and finds in it what the values say."""
    upstreams = {"harbor.corp.internal": {"hosts": [{"url": "https://harbor.corp.internal"}]}, "docker.io": {"deny": ["*:latest"]}}
    for mode, families in (("cluster", ["IPv4", "IPv6"]), ("node", ["IPv6"]), ("both", ["IPv4"])):
        values = {"mode": mode, "ipFamilies": families, "config": {"upstreams": upstreams, "drain": "20s"}, "admission": {"enabled": True}}
        found = Rendered(values)
        for document in found.all("ConfigMap"):
            if "regproxy.yaml" in document["data"]:
                checked = _checked(document["data"]["regproxy.yaml"], tmp_path)
                assert "harbor.corp.internal" in checked["upstreams"]
        name = "rp-regproxy-node" if mode == "node" else "rp-regproxy"
        checked = _checked(found.one("ConfigMap", name)["data"]["regproxy.yaml"], tmp_path)
        assert checked["upstreams"]["docker.io"]["deny"] == ["*:latest"]
        assert (checked["drain"], checked["store"]["root"]) == ("20s", "/var/lib/regproxy/store")


def test_n15_01_nodes_ask_the_cluster_for_every_upstream() -> None:
    upstreams = {"harbor.corp.internal": {"hosts": [{"url": "https://harbor.corp.internal"}]}}
    found = Rendered({"mode": "both", "replicaCount": 1, "config": {"upstreams": upstreams}}).config("rp-regproxy-node")["upstreams"]
    assert {"docker.io", "registry.k8s.io", "harbor.corp.internal"} <= set(found)
    assert all(each == {"hosts": [{"url": "http://rp-regproxy.regproxy.svc:5000", "kind": "cache"}]} for each in found.values())


def test_n15_01_nodes_go_on_at_another_replica_when_theirs_is_killed(tmp_path: Path) -> None:
    """By addresses of their own behind the Service's, which leads to one that is dead until Kubernetes has noticed."""
    found = Rendered({"mode": "both", "replicaCount": 3, "service": {"port": 80}})
    hosts = found.config("rp-regproxy-node")["upstreams"]["quay.io"]["hosts"]
    replicas = [f"http://rp-regproxy-{number}.rp-regproxy-peers.regproxy.svc:5000" for number in range(3)]
    assert hosts == [{"url": url, "kind": "cache"} for url in ("http://rp-regproxy.regproxy.svc:80", *replicas)]
    assert found.one("StatefulSet", "rp-regproxy")["spec"]["serviceName"] == "rp-regproxy-peers"
    peers = found.one("Service", "rp-regproxy-peers")["spec"]
    assert (peers["clusterIP"], peers["ports"][0]["port"], peers["publishNotReadyAddresses"]) == ("None", 5000, True)
    checked = _checked(found.one("ConfigMap", "rp-regproxy-node")["data"]["regproxy.yaml"], tmp_path)
    assert [each["url"] for each in checked["upstreams"]["docker.io"]["hosts"]] == [each["url"] for each in hosts]


def test_n15_01_a_node_has_one_worker_unless_it_is_told_otherwise() -> None:
    """Its caches are as many as nodes are, and each serves one runtime."""
    of_cluster, of_nodes = {"config": {"workers": 4}}, {"node": {"config": {"workers": 2}}}
    found = [
        Rendered({"mode": mode, **values}).config(name)["workers"]
        for mode, name in (("both", "rp-regproxy-node"), ("node", "rp-regproxy-node"))
        for values in ({}, of_cluster, of_nodes, {**of_cluster, **of_nodes})
    ]
    assert found == [1, 1, 2, 2, 1, 4, 2, 2]
    assert "workers" not in Rendered({"mode": "both"}).config("rp-regproxy")


def test_n15_01_the_configuration_rolls_the_pods() -> None:
    def checksum(drain: str) -> str:
        maker = Rendered({"config": {"drain": drain}}).one("StatefulSet", "rp-regproxy")
        return str(maker["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum("20s") != checksum("30s")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"config": {"listen": "0.0.0.0:1"}}, "config.listen is set by the chart"),
        ({"node": {"config": {"store": {"root": "/x"}}}}, "node.config.store.root is set by the chart"),
        ({"clientConfig": {"enabled": True}, "service": {"type": "ClusterIP"}}, "clientConfig.endpoint is missing"),
        ({"mode": "nodes"}, "mode"),
        ({"replicas": 3}, "replicas"),
        ({"image": {}}, "image.repository is missing"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"persistence": {"size": "much"}}, "size"),
        ({"clientConfig": {"runtime": "rocket"}}, "runtime"),
        ({"upstreamCredentials": {"docker.io": {"secret": "x"}}}, "docker.io"),
        ({"ipFamilies": []}, "ipFamilies"),
        ({"service": {"nodePort": "30500"}}, "nodePort"),
        ({"mode": "both", "service": {"type": "NodePort"}}, "node.port"),
        ({"admission": {"failurePolicy": "Maybe"}}, "failurePolicy"),
        ({"priorityClassName": "x\n      hostNetwork: true"}, "priorityClassName"),
        ({"existingSecret": "x}, {secretRef: {name: other"}, "existingSecret"),
        ({"serviceAccount": {"name": 'x"'}}, "name"),
        ({"image": {"tag": "1\n"}}, "tag"),
        ({"podAnnotations": {"prometheus.io/scrape": True}}, "podAnnotations"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv"),
        ({"config": {"clients": {"anonymous": True}}}, "tls.existingSecret"),
        ({"mode": "node", "config": {"upstreams": {"docker.io": {"access": "proven"}}}}, "node.hostNetwork"),
        ({"mode": "both", "node": {"config": {"clients": {"anonymous": True}}}}, "config.insecure_credentials"),
        ({"mode": "node", "fleet": {"enabled": True, "existingSecret": "fleet"}}, "fleet.enabled is for the replicas"),
        ({"fleet": {"enabled": True}}, "fleet.existingSecret is missing"),
        ({"fleet": {"key": "secret"}}, "key"),
        ({"mode": "both", "node": {"fleet": {"enabled": True}}}, "node.fleet.existingSecret is missing"),
        ({"node": {"fleet": NODES_KEY}}, "node.fleet.enabled is for the caches of nodes"),
        ({"mode": "node", "node": {"hostNetwork": True, "fleet": NODES_KEY}}, "node.hostNetwork"),
        ({"mode": "both", **FLEET, "node": {"fleet": {"enabled": True, "existingSecret": "fleet"}}}, "another Secret than"),
        ({"store": {"behind": {"url": "s3://bucket"}}}, "store.behind.existingSecret is missing"),
        ({"store": {"behind": {"url": "/mnt", "existingSecret": "x"}}}, "url"),
        ({"store": {"behind": {"url": "s3://bucket", "endpoint": "https://s3/x", "existingSecret": "x"}}}, "endpoint"),
    ],
)
def test_n15_01_a_mistake_is_refused_by_its_place(values: dict[str, Any], word: str) -> None:
    with pytest.raises(Refused, match=word):
        Rendered(values)


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "node", "node": {"hostNetwork": True}},
        {"mode": "both", "tls": {"existingSecret": "tls"}},
        {"mode": "cluster", "config": {"insecure_credentials": True}},
    ],
)
def test_n15_01_passwords_are_taken_where_nobody_reads_along(values: dict[str, Any]) -> None:
    config = {"clients": {"anonymous": True}, "upstreams": {"docker.io": {"access": "proven"}}}
    found = Rendered({**values, "config": {**config, **values.get("config", {})}})
    assert found.config("rp-regproxy-node" if values["mode"] == "node" else "rp-regproxy")["clients"] == {"anonymous": True}


@pytest.mark.parametrize(
    ("values", "endpoint"),
    [
        ({"mode": "cluster"}, "http://HOST_IP:30500"),
        ({"mode": "node"}, "http://127.0.0.1:30500"),
        ({"mode": "both", "node": {"hostIP": "::1"}, "tls": {"existingSecret": "tls"}}, "https://[::1]:30500"),
        ({"mode": "cluster", "clientConfig": {"endpoint": "http://10.96.0.9:5000"}}, "http://10.96.0.9:5000"),
    ],
)
def test_n15_01_the_writer_knows_where_the_runtime_reaches_the_cache(values: dict[str, Any], endpoint: str) -> None:
    values["clientConfig"] = {"enabled": True, "registries": ["docker.io"], **values.get("clientConfig", {})}
    pods = Rendered(values).pods()
    [writer] = [each for pod in pods.values() for each in pod["containers"] if "keep" in each.get("args", [])]
    assert writer["args"] == [
        "node-config",
        "keep",
        "containerd",
        "--root=/node",
        f"--endpoint={endpoint}",
        "--silence=15",
        "--registry=docker.io",
        *(["--ca=/authority/ca.crt"] if "tls" in values else []),
        "--state=/tmp/state",
    ]


def test_n15_01_nodes_trust_the_authority_of_the_secret(rendered: dict[str, Rendered]) -> None:
    """Those of the chart: the runtime by what the writer writes, and the node's cache that asks the cluster's."""
    for mode in MODES:
        pod = rendered[mode].pods()["DaemonSet/rp-regproxy-client-config"]
        [writer] = pod["containers"]
        [authority] = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "authority"]
        assert authority == {"secretName": "tls", "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": True}
        [mounted] = [mount["mountPath"] for mount in writer["volumeMounts"] if mount["name"] == "authority"]
        assert f"--ca={mounted}/ca.crt" in writer["args"]
    [host] = rendered["both"].config("rp-regproxy-node")["upstreams"]["quay.io"]["hosts"]
    assert host["tls"] == {"ca": "/etc/regproxy/tls/ca.crt"}


def test_n15_01_the_writer_asks_by_the_nodes_own_network(rendered: dict[str, Rendered]) -> None:
    """What listens on the node's loopback interface is out of reach of a Pod's network."""
    for mode in MODES:
        [pod] = [pod for pod in rendered[mode].pods().values() if any("keep" in each.get("args", []) for each in pod["containers"])]
        assert pod["hostNetwork"]


def test_n15_01_the_port_of_a_node_leads_to_its_own_cache() -> None:
    """kube-proxy answers a NodePort at 127.0.0.1 too, before the Pod's hostPort."""
    service = Rendered({"mode": "both"}).one("Service", "rp-regproxy")["spec"]
    assert (service["type"], service["ports"][0].get("nodePort")) == ("ClusterIP", None)
    assert Rendered().one("Service", "rp-regproxy")["spec"]["type"] == "NodePort"
    apart = Rendered({"mode": "both", "service": {"type": "NodePort", "nodePort": 30502}})
    assert apart.one("Service", "rp-regproxy")["spec"]["ports"][0]["nodePort"] == 30502


def test_n15_01_a_cache_that_hangs_is_ended_within_a_minute(rendered: dict[str, Rendered]) -> None:
    """Pulls that wait for it go on to the registry only then; what is stopped would not use the grace of a Pod that is removed."""
    for mode in MODES:
        caches = [each for pod in rendered[mode].pods().values() for each in pod["containers"] if each.get("args", [])[:1] == ["serve"]]
        for probe in [cache["livenessProbe"] for cache in caches]:
            seconds = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] + probe["terminationGracePeriodSeconds"]
            assert 40 <= seconds <= 60


def test_n15_01_removal_undoes_the_nodes_before_anything_goes(rendered: dict[str, Rendered]) -> None:
    for mode in MODES:
        hooks = [each for each in rendered[mode].documents if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-delete"]
        order = sorted(hooks, key=lambda each: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]))
        kinds = [each["kind"] for each in order]
        assert kinds[-3:] == ["Job", "DaemonSet", "Job"]
        assert set(kinds[:-3]) == {"ServiceAccount", "Role", "RoleBinding"}
        writer = "rp-regproxy-client-config"
        [stop] = order[-3]["spec"]["template"]["spec"]["containers"]
        assert f"--writer={writer}" in stop["args"]
        assert rendered[mode].has("DaemonSet", writer)


def test_n15_01_the_node_cache_is_on_loopback_alone(rendered: dict[str, Rendered]) -> None:
    [port, _] = rendered["node"].pods()["DaemonSet/rp-regproxy-node"]["containers"][0]["ports"]
    assert (port["hostPort"], port["hostIP"]) == (30500, "127.0.0.1")
    found = Rendered({"mode": "node", "node": {"hostNetwork": True}})
    assert found.config("rp-regproxy-node")["listen"] == "127.0.0.1:30500"
    assert found.pods()["DaemonSet/rp-regproxy-node"]["hostNetwork"] is True


def test_n15_01_the_grace_period_leaves_time_to_drain_twice(rendered: dict[str, Rendered], tmp_path: Path) -> None:
    drain = _checked("", tmp_path)["drain"]
    assert drain == "30s"
    assert rendered["cluster"].pods()["StatefulSet/rp-regproxy"]["terminationGracePeriodSeconds"] >= 2 * 30 + 10


def test_n15_01_the_dashboard_is_the_one_of_the_sources(rendered: dict[str, Rendered]) -> None:
    found = rendered["cluster"].one("ConfigMap", "rp-regproxy-dashboard")
    assert json.loads(found["data"]["regproxy.json"]) == json.loads((CHART / "grafana.json").read_text())
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_n15_01_prometheus_finds_the_admin_ports(rendered: dict[str, Rendered]) -> None:
    for mode in MODES:
        monitor = rendered[mode].one("ServiceMonitor", "rp-regproxy")["spec"]
        service = rendered[mode].one("Service", "rp-regproxy-metrics")
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        makers = [each for kind in ("StatefulSet", "DaemonSet") for each in rendered[mode].all(kind)]
        scraped = {
            maker["metadata"]["name"]
            for maker in makers
            if service["spec"]["selector"].items() <= maker["spec"]["template"]["metadata"]["labels"].items()
        }
        assert scraped == {name for name in ("rp-regproxy", "rp-regproxy-node") if any(m["metadata"]["name"] == name for m in makers)}


def test_n15_01_webhooks_leave_the_system_alone(rendered: dict[str, Rendered]) -> None:
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        [hook] = rendered["both"].one(kind, "regproxy-rp-regproxy-admission")["webhooks"]
        [away] = hook["namespaceSelector"]["matchExpressions"]
        assert (away["operator"], away["values"]) == ("NotIn", ["kube-system", "regproxy"])
        assert (hook["failurePolicy"], hook["timeoutSeconds"], hook["sideEffects"]) == ("Ignore", 2, "None")
        rules = {(*rule["resources"], *rule["operations"]) for rule in hook["rules"]}
        assert rules == {("pods", "CREATE", "UPDATE"), ("pods/ephemeralcontainers", "UPDATE")}
        assert hook["clientConfig"]["caBundle"] == rendered["both"].one("Secret", "rp-regproxy-admission")["data"]["ca.crt"]


def test_n15_01_the_webhook_has_no_secret_of_an_upstream() -> None:
    credentials = {"username": "u", "password": "${HARBOR_PASSWORD}"}
    upstreams = {"harbor.corp.internal": {"hosts": [{"url": "https://x.internal"}], "credentials": credentials, "deny": ["*:latest"]}}
    found = Rendered({"config": {"upstreams": upstreams}, "admission": {"enabled": True}}).config("rp-regproxy-admission")
    assert found["upstreams"] == {"harbor.corp.internal": {"hosts": [{"url": "https://harbor.corp.internal"}], "deny": ["*:latest"]}}


def _environment(pod: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the variables of a cache that come from Secrets, and the Secrets of which all keys do."""
    [cache] = [each for each in pod["containers"] if each["args"][0] == "serve"]
    named = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in cache["env"] if "valueFrom" in each}
    return named, [each["secretRef"]["name"] for each in cache.get("envFrom", ())]


@pytest.mark.parametrize("mode", ["cluster", "both"])
def test_n17_11_replicas_are_a_fleet_by_the_headless_service(mode: str, tmp_path: Path) -> None:
    found = Rendered({"mode": mode, **FLEET, "ipFamilies": ["IPv6", "IPv4"], "config": {"fleet": {"piece_cache": "5GiB"}}})
    fleet = found.config()["fleet"]
    assert fleet == {"peers": "dns://rp-regproxy-peers.regproxy.svc:5000", "key": "${REGPROXY_FLEET_KEY}", "piece_cache": "5GiB"}
    peers = found.one("Service", "rp-regproxy-peers")["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"], peers["ports"][0]["port"]) == ("None", True, 5000)
    assert (peers["ipFamilyPolicy"], peers["ipFamilies"]) == ("SingleStack", ["IPv6"]), "with two addresses it would be two members"
    environment, _ = _environment(found.pods()["StatefulSet/rp-regproxy"])
    assert environment == {"REGPROXY_FLEET_KEY": {"name": "fleet", "key": "REGPROXY_FLEET_KEY"}}
    checked = _checked(found.one("ConfigMap", "rp-regproxy")["data"]["regproxy.yaml"], tmp_path, REGPROXY_FLEET_KEY=_KEY)
    assert checked["fleet"]["peers"] == fleet["peers"]
    if mode == "both":  # a key on every node would open what the cluster's cache holds
        assert "fleet" not in found.config("rp-regproxy-node")
        assert _environment(found.pods()["DaemonSet/rp-regproxy-node"]) == ({}, [])


@pytest.mark.parametrize("mode", ["node", "both"])
def test_n17_11_nodes_are_a_fleet_of_their_own_with_a_key_of_their_own(mode: str, tmp_path: Path) -> None:
    """Each says by which of the addresses of the headless Service it is a member: its Pod's, and of two families one."""
    node = {"fleet": {**NODES_KEY, "zone": "auto"}, "config": {"fleet": {"piece_cache": "1GiB"}}}
    found = Rendered({"mode": mode, **(FLEET if mode == "both" else {}), "node": node, "ipFamilies": ["IPv6", "IPv4"]})
    config = found.config("rp-regproxy-node")
    peers = "dns://rp-regproxy-node-peers.regproxy.svc:5000"
    assert config["fleet"] == {"peers": peers, "key": "${REGPROXY_FLEET_KEY}", "zone": "${REGPROXY_ZONE}", "piece_cache": "1GiB"}
    assert config["listen"] == "*:5000", "where the others find it"
    service = found.one("Service", "rp-regproxy-node-peers")["spec"]
    assert (service["clusterIP"], service["ports"][0]["port"]) == ("None", 5000)
    assert (service["ipFamilyPolicy"], service["ipFamilies"]) == ("SingleStack", ["IPv6"]), "with two addresses it would be two members"
    assert not service.get("publishNotReadyAddresses"), "a node that is gone is a member until it is removed otherwise"
    [nodes] = found.all("DaemonSet")
    assert service["selector"].items() <= nodes["spec"]["template"]["metadata"]["labels"].items()
    pod = nodes["spec"]["template"]["spec"]
    [cache] = [each for each in pod["containers"] if each["args"][0] == "serve"]
    given = {each["name"]: each["valueFrom"] for each in cache["env"] if "valueFrom" in each}
    assert given == {
        "REGPROXY_FLEET_KEY": {"secretKeyRef": {"name": "nodes", "key": "REGPROXY_FLEET_KEY"}},
        "REGPROXY_ZONE": {"fieldRef": {"fieldPath": "metadata.labels['topology.kubernetes.io/zone']"}},
    }
    text = found.one("ConfigMap", "rp-regproxy-node")["data"]["regproxy.yaml"]
    assert _checked(text, tmp_path, REGPROXY_FLEET_KEY=_KEY, REGPROXY_ZONE="")["fleet"]["peers"] == peers
    if mode == "both":
        assert found.config()["fleet"]["peers"] == "dns://rp-regproxy-peers.regproxy.svc:5000"
        assert _environment(found.pods()["StatefulSet/rp-regproxy"])[0]["REGPROXY_FLEET_KEY"]["name"] == "fleet"


def test_n17_11_nodes_verify_each_other_by_the_authority_of_the_secret() -> None:
    fleet = Rendered({"mode": "both", "node": {"fleet": NODES_KEY}, "tls": {"existingSecret": "tls"}}).config("rp-regproxy-node")["fleet"]
    assert (fleet["ca"], "zone" in fleet) == ("/etc/regproxy/tls/ca.crt", False)


@pytest.mark.parametrize(("zone", "shown"), [("auto", "${REGPROXY_ZONE}"), ("eu-1a", "eu-1a"), ("", None)])
def test_n17_11_replicas_say_which_zone_they_are_in(zone: str, shown: str | None) -> None:
    found = Rendered({"fleet": {**FLEET["fleet"], "zone": zone}})
    assert found.config()["fleet"].get("zone") == shown
    (cache,) = [each for each in found.pods()["StatefulSet/rp-regproxy"]["containers"] if each["args"][0] == "serve"]
    labels = [each["valueFrom"]["fieldRef"]["fieldPath"] for each in cache["env"] if each["name"] == "REGPROXY_ZONE"]
    assert labels == (["metadata.labels['topology.kubernetes.io/zone']"] if zone == "auto" else [])


def test_n17_11_members_are_verified_by_the_authority_of_the_secret() -> None:
    assert Rendered({**FLEET, "tls": {"existingSecret": "tls"}}).config()["fleet"]["ca"] == "/etc/regproxy/tls/ca.crt"
    assert "fleet" not in Rendered({"tls": {"existingSecret": "tls"}}).config()


def test_n17_11_who_may_reach_the_registry_always_includes_members() -> None:
    rule = Rendered(FLEET).one("NetworkPolicy", "rp-regproxy")["spec"]["ingress"][0]
    assert rule == {"ports": [{"port": "registry", "protocol": "TCP"}]}
    nodes = {"ipBlock": {"cidr": "10.0.0.0/16"}}
    found = Rendered({"mode": "both", **FLEET, "networkPolicy": {"registryFrom": [nodes]}})
    ours, theirs = found.one("NetworkPolicy", "rp-regproxy")["spec"]["ingress"][0]["from"]
    assert theirs == nodes
    wanted = ours["podSelector"]["matchLabels"].items()
    makers = [each for kind in ("StatefulSet", "DaemonSet") for each in found.all(kind)]
    assert all(wanted <= maker["spec"]["template"]["metadata"]["labels"].items() for maker in makers)
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in found.all("Pod"))


@pytest.mark.parametrize("mode", MODES)
def test_n17_11_who_asks_registries_has_the_object_store_behind_it(mode: str, tmp_path: Path) -> None:
    behind = {"url": "s3://bucket/regproxy", "endpoint": "https://s3.example.com", "existingSecret": "bucket"}
    found = Rendered(
        {"mode": mode, "store": {"behind": behind}, "config": {"store": {"behind": {"max_size": "5TiB"}, "max_size": "90GiB"}}}
    )
    name, pod = ("rp-regproxy-node", "DaemonSet/rp-regproxy-node") if mode == "node" else ("rp-regproxy", "StatefulSet/rp-regproxy")
    wanted = {"url": behind["url"], "endpoint": behind["endpoint"], "key": "${REGPROXY_OBJECT_KEY}", "max_size": "5TiB"}
    assert found.config(name)["store"] == {"root": "/var/lib/regproxy/store", "max_size": "90GiB", "behind": wanted}
    assert _environment(found.pods()[pod])[1] == ["bucket"]
    _checked(found.one("ConfigMap", name)["data"]["regproxy.yaml"], tmp_path, REGPROXY_OBJECT_KEY=_KEY)
    if mode == "both":
        assert found.config("rp-regproxy-node")["store"] == {"root": "/var/lib/regproxy/store"}
        assert _environment(found.pods()["DaemonSet/rp-regproxy-node"])[1] == []


def test_n15_01_the_readme_lists_the_values_as_they_are() -> None:
    readme = (CHART / "README.md").read_text()
    assert with_table(readme) == readme, "python -m tests.chart.readme"


def test_n15_01_each_value_has_a_place_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def missing(values: dict[str, Any], node: dict[str, Any], place: str = "") -> list[str]:
        known = node.get("properties", {})
        absent = [f"{place}{key}" for key in values if known and key not in known]
        below = [(key, value) for key, value in values.items() if isinstance(value, dict) and key in known]
        return absent + [each for key, value in below for each in missing(value, known[key], f"{place}{key}.")]

    assert missing(yaml.safe_load((CHART / "values.yaml").read_text()), schema) == []


def _checked(config: str, folder: Path, **environment: str) -> dict[str, Any]:
    """Read *config* by `regproxy check`; files that the chart mounts do not exist here, and are taken out."""
    (folder / "regproxy.yaml").write_text(config)
    command = [sys.executable, "-m", "regproxy", "check", "--config", str(folder / "regproxy.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, f"{config}\n{done.stderr}"
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found
