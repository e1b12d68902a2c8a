"""A cluster of one node in which Pods run: containerd, kubelet and kube-proxy on a machine of its own, and what schedules and controls."""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.clients.content import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Blob, config, gzip_layer, manifest
from tests.clients.go_programs import go_program
from tests.clients.processes import Daemon, is_accepting
from tests.clients.programs import program as of_debian

from .api_server import MANAGER, NODE, PROXY, SCHEDULER, ApiServer
from .machine import ADDRESS, OUTSIDE, Computer
from .names import DOMAIN, Names
from .own_image import archive, own_image
from .programs import program

OWN_IMAGE = "registry.internal/regproxy"
NAME = "node"
TIMEOUT = 300.0  # for what never comes
_PODS = "10.88.0.0/16"
_PAUSE = "registry.internal/pause:1"

_CONTAINERD = f"""
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{_PAUSE}"

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/run/cni"
"""

_OLD_CONTAINERD = f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{_PAUSE}"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni"
"""

_CNI = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": _PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "cgroupsPerQOS": False,
    "enforceNodeAllocatable": [],
    "failCgroupV1": False,
    "failSwapOn": False,
    "oomScoreAdj": 0,
    "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "memory.available": "1Mi"},
    "imageGCHighThresholdPercent": 100,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "clusterDNS": [OUTSIDE],
    "clusterDomain": DOMAIN,
    "resolvConf": "",
    "registerNode": True,
    "serializeImagePulls": False,
}

_PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "iptables",
    "clusterCIDR": _PODS,
    "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    "oomScoreAdj": 0,
    "hostnameOverride": NAME,
}


class Cluster(ApiServer):
    """The control plane, and the node that it has: all of it on *machine*, which runs already.

    Its containerd is of today, or Debian's, which is *old*: 1.6.
    """

    def __init__(self, folder: Path, machine: Computer, *, old: bool = False) -> None:
        self.folder, self.machine, self._is_old = folder, machine, old
        options = ("--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP")
        super().__init__(folder, ADDRESS, self.machine.network_command, options)
        self._names: Names | None = None
        self._daemons: list[Daemon] = []

    def start(self) -> None:
        super().start()
        self._names = Names(OUTSIDE, self._service_address)
        run_cni = self.machine.root / "run" / "cni"
        run_cni.mkdir()
        (run_cni / "10-pods.conflist").write_text(json.dumps(_CNI))
        self._start_control()
        self._start_containerd()
        self.load(_PAUSE, *_pause())
        self.load(f"{OWN_IMAGE}:{_app_version()}", *own_image())
        self._start_node()

    def stop(self) -> None:
        if self._names:
            self._names.stop()
        for daemon in reversed(self._daemons):
            daemon.stop()
        self.machine.stop()  # the API server waits a minute for a kubelet that watches
        super().stop()

    def load(self, name: str, *blobs: Blob) -> None:
        """Put an image into containerd's store; the last of *blobs* is its manifest."""
        path = self.folder / "image.tar"
        path.write_bytes(archive(name, blobs[:-1], blobs[-1]))
        self.ctr("images", "import", *([] if self._is_old else ["--local"]), path)
        path.unlink()

    def ctr(self, *words: str | Path) -> str:
        return self.machine.run(self._containerds("ctr"), "--namespace=k8s.io", *words)

    def crictl(self, *words: str) -> str:
        return self.machine.run(go_program("crictl"), "--runtime-endpoint=unix:///run/containerd/containerd.sock", *words)

    def signal(self, name: str, container: str) -> None:
        """Send a signal to all processes of a container."""
        pid = self.crictl("inspect", "--output=go-template", "--template={{.info.pid}}", container).strip()
        each = "each() { for child in $(cat /proc/$1/task/*/children); do each $child; done; kill -$0 $1; }"
        self.machine.run("sh", "-c", f"{each}; each $1", name, pid)

    def apply(self, document: object, namespace: str = "default") -> None:
        done = self.kubectl("apply", f"--namespace={namespace}", "--filename=-", given=document)
        assert done.returncode == 0, done.stderr

    def awaited(self, is_so: Callable[[], bool], what: str, within: float = TIMEOUT) -> float:
        """Wait until *is_so*, and return how many seconds it took; raise AssertionError with what the cluster says of its Pods."""
        begun = time.monotonic()
        while not is_so():
            assert time.monotonic() - begun < within, f"{what}\n{self.told()}"
            time.sleep(0.2)
        return time.monotonic() - begun

    def told(self) -> str:
        pods = self.kubectl("get", "pods", "--all-namespaces", "--output=wide").stdout
        events = self.kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp").stdout.splitlines()
        return pods + "\n".join(events[-25:])

    def phase(self, pod: str, namespace: str = "default") -> str:
        found = self.read(f"/api/v1/namespaces/{namespace}/pods/{pod}")
        return str(found["status"].get("phase")) if found else ""

    def logs(self, pod: str, *words: str, namespace: str = "regproxy") -> str:
        done = self.kubectl("logs", pod, f"--namespace={namespace}", *words)
        return done.stdout + done.stderr

    def run_pod(self, name: str, image: str, within: float = TIMEOUT, **more: object) -> float:
        """Run a Pod to its end, and return the seconds until it had ended."""
        self.apply(pod(name, image, **more))
        return self.awaited(lambda: self.phase(name) == "Succeeded", f"Pod {name} of {image}", within)

    def is_rolled_out(self, kind: str, name: str, namespace: str = "regproxy") -> bool:
        """Report what `kubectl rollout status` waits for."""
        found = self.read(f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}")
        if found is None or found["status"].get("observedGeneration", 0) < found["metadata"]["generation"]:
            return False
        spec, status = found["spec"], found["status"]
        if kind == "daemonset":
            wanted = status["desiredNumberScheduled"]
            return bool(wanted) and status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == wanted
        if kind == "statefulset":
            is_new = status.get("updateRevision") == status.get("currentRevision")
            return is_new and bool(status.get("readyReplicas", 0) == spec["replicas"])
        return bool(status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == status.get("replicas", 0) == spec["replicas"])

    def _is_ready(self) -> bool:
        found = self.read(f"/api/v1/nodes/{NAME}")
        conditions = found["status"].get("conditions", []) if found else []
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _service_address(self, name: str, namespace: str) -> str | None:
        found = self.read(f"/api/v1/namespaces/{namespace}/services/{name}")
        address = found["spec"].get("clusterIP") if found else None
        return address if address and address != "None" else None

    def _start_control(self) -> None:
        manager = [
            f"--kubeconfig={self.kubeconfig_of(MANAGER)}",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self.accounts_key}",
            f"--root-ca-file={self.certificate}",
            "--leader-elect=false",
            f"--cert-dir={self.folder}/manager",
        ]
        scheduler = [f"--kubeconfig={self.kubeconfig_of(SCHEDULER)}", "--leader-elect=false", f"--cert-dir={self.folder}/scheduler"]
        for name, options in (("kube-controller-manager", manager), ("kube-scheduler", scheduler)):
            self._start(Daemon(self.machine.network_command(program(name), *options), self.folder / f"{name}.log"), lambda: True)

    def _start_containerd(self) -> None:
        configuration = self.folder / "containerd.toml"
        configuration.write_text(_OLD_CONTAINERD if self._is_old else _CONTAINERD)
        path = f"{self._containerds('containerd').parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        of_debian("runc", "runc")
        command = self.machine.command("env", f"PATH={path}", self._containerds("containerd"), "--config", configuration)
        socket = self.machine.root / "run/containerd/containerd.sock"
        self._start(Daemon(command, self.folder / "containerd.log"), lambda: socket.exists() and is_accepting(socket))

    def _containerds(self, name: str) -> Path:
        return of_debian(name, "containerd") if self._is_old else go_program(name)

    def _start_node(self) -> None:
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(_KUBELET))
        proxy = _PROXY | {"clientConnection": {"kubeconfig": str(self.kubeconfig_of(PROXY))}}
        (self.folder / "proxy.yaml").write_text(yaml.safe_dump(proxy))
        kubelet: list[str | Path] = [
            *(program("kubelet"), f"--config={self.folder}/kubelet.yaml", f"--kubeconfig={self.kubeconfig_of(NODE)}"),
            *(f"--node-ip={ADDRESS}", f"--hostname-override={NAME}"),
        ]
        self._start(Daemon(self.machine.command(*kubelet), self.folder / "kubelet.log"), lambda: True)
        proxied = self.machine.network_command(program("kube-proxy"), f"--config={self.folder}/proxy.yaml")
        self._start(Daemon(proxied, self.folder / "kube-proxy.log"), lambda: True)
        self.awaited(self._is_ready, "the node")
        self.awaited(lambda: self.read("/api/v1/namespaces/default/serviceaccounts/default") is not None, "the default ServiceAccount")

    def _start(self, daemon: Daemon, is_ready: Callable[[], bool]) -> None:
        daemon.start(is_ready)
        self._daemons.append(daemon)


def pod(name: str, image: str, **more: object) -> dict[str, Any]:
    """Return a Pod that runs *image* once; *more* is of its container."""
    container = {"name": "c", "image": image, **more}
    spec = {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _pause() -> Iterable[Blob]:
    layer = gzip_layer(DOCKER_LAYER, {"bin/busybox": of_debian("busybox", "busybox-static").read_bytes()})
    settings = config(DOCKER_CONFIG, ["/bin/busybox", "sleep", "1000000"], [layer])
    return layer.blob, settings, manifest(DOCKER_MANIFEST, settings, [layer.blob])


def _app_version() -> str:
    chart = Path(__file__).parents[2] / "deploy/helm/regproxy/Chart.yaml"
    return str(yaml.safe_load(chart.read_text())["appVersion"])


def ended(process: "subprocess.CompletedProcess[str]") -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout
