"""`regproxy client-config`: what is written, that it is written whole, and that it is given back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from regproxy.cli import app
from regproxy.runtimes.apply import BACKUP, RECORD
from regproxy.runtimes.registered import RUNTIMES
from tests.docs.blocks import fenced
from tests.fakes.authority import Authority

URL = "http://regproxy.example:5000"
HOST = "regproxy.example:5000"
FRESH = f'[host."{URL}"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "200ms"\n'
HOSTS = "etc/containerd/certs.d/docker.io/hosts.toml"
CONFIG = "etc/containerd/config.toml"
REGISTRIES = "etc/rancher/k3s/registries.yaml"
DAEMON = "etc/docker/daemon.json"
DROP_IN = "etc/containers/registries.conf.d/regproxy.conf"
BUILDKITD = "etc/buildkit/buildkitd.toml"
DFINIT = "etc/dragonfly/dfinit.yaml"
CRI = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"

Parsed = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """Files that are there before, and what holds after; a file is TOML, JSON or YAML by its name."""

    runtime: str
    before: Mapping[str, str]
    holds: Callable[[Mapping[str, Parsed]], bool]
    options: tuple[str, ...] = ()


def hosts(document: Parsed) -> list[str]:
    return list(document.get("host", {}))


ROWS: dict[str, Row] = {
    "containerd, nothing there": Row(
        "containerd", {}, lambda after: after["etc/containerd/certs.d/_default/hosts.toml"] == tomllib.loads(FRESH)
    ),
    "containerd, strict": Row(
        "containerd",
        {},
        lambda after: after[HOSTS]["server"] == URL and hosts(after[HOSTS]) == [URL],
        ("--registry", "docker.io", "--strict"),
    ),
    "containerd, other hosts": Row(
        "containerd",
        {
            HOSTS: '# ours\nserver = "https://registry-1.docker.io" # hub\n\n[host."https://m1"]\ncapabilities = ["pull"]\n'
            '[host.m2]\n  [host.m2.header]\n  a = "b"'
        },
        lambda after: (
            hosts(after[HOSTS]) == [URL, "https://m1", "m2"]
            and after[HOSTS]["server"] == "https://registry-1.docker.io"
            and after[HOSTS]["host"]["m2"] == {"header": {"a": "b"}}
        ),
        ("--registry", "docker.io"),
    ),
    "containerd, ours behind and old": Row(
        "containerd",
        {
            HOSTS: f'[host."https://m1"]\n  skip_verify = true\n\n[host."{URL}"]\n  capabilities = [\n    "pull",\n  ]\n'
            f'  [host."{URL}".header]\n    a = "b"\n'
        },
        lambda after: (
            hosts(after[HOSTS]) == [URL, "https://m1"]
            and after[HOSTS]["host"][URL] == {"capabilities": ["pull", "resolve"], "dial_timeout": "200ms", "header": {"a": "b"}}
        ),
        ("--registry", "docker.io"),
    ),
    "containerd, a comment alone": Row(
        "containerd", {HOSTS: "# nothing yet"}, lambda after: hosts(after[HOSTS]) == [URL], ("--registry", "docker.io")
    ),
    "containerd, an empty file": Row("containerd", {HOSTS: ""}, lambda after: hosts(after[HOSTS]) == [URL], ("--registry", "docker.io")),
    "containerd, config.toml of version 2": Row(
        "containerd",
        {CONFIG: f'version = 2\n\n[plugins."{CRI}"]\n  sandbox_image = "pause"\n'},
        lambda after: after[CONFIG]["plugins"] == {CRI: {"sandbox_image": "pause", "registry": {"config_path": "/etc/containerd/certs.d"}}},
        ("--edit-config",),
    ),
    "containerd, config.toml of version 3": Row(
        "containerd",
        {
            CONFIG: f"version = 3\n[plugins]\n  [plugins.'{IMAGES}'.registry]\n"
            "    config_path = '/etc/containerd/certs.d:/etc/docker/certs.d' # both\n"
        },
        lambda after: after[CONFIG]["plugins"] == {IMAGES: {"registry": {"config_path": "/etc/containerd/certs.d"}}},
        ("--edit-config",),
    ),
    "containerd, config.toml of version 4": Row(
        "containerd",
        {CONFIG: f"version = 4\n[plugins.'{IMAGES}']\n  max_concurrent_downloads = 5"},
        lambda after: (
            after[CONFIG]["plugins"][IMAGES] == {"max_concurrent_downloads": 5, "registry": {"config_path": "/etc/containerd/certs.d"}}
        ),
        ("--edit-config",),
    ),
    "k3s, nothing there": Row("k3s", {}, lambda after: after["etc/rancher/k3s/registries.yaml"] == {"mirrors": {"*": {"endpoint": [URL]}}}),
    "k3s, other mirrors": Row(
        "k3s",
        {
            REGISTRIES: 'mirrors: # of ours\n  docker.io:\n    endpoint:\n      - "https://m1"   # old\n      - https://m2\n'
            "configs:\n  m1:\n    auth: {username: bob}\n"
        },
        lambda after: (
            after[REGISTRIES]
            == {
                "mirrors": {"docker.io": {"endpoint": [URL, "https://m1", "https://m2"]}, "quay.io": {"endpoint": [URL]}},
                "configs": {"m1": {"auth": {"username": "bob"}}},
            }
        ),
        ("--registry", "docker.io", "--registry", "quay.io"),
    ),
    "k3s, a flow list and no final newline": Row(
        "k3s",
        {REGISTRIES: 'mirrors:\n  "*": {endpoint: ["https://m1"]}'},
        lambda after: after[REGISTRIES] == {"mirrors": {"*": {"endpoint": [URL, "https://m1"]}}},
    ),
    "k3s, ours behind": Row(
        "k3s",
        {REGISTRIES: f'mirrors:\n  "*":\n    endpoint: ["https://m1", "{URL}"]\n'},
        lambda after: after[REGISTRIES] == {"mirrors": {"*": {"endpoint": [URL, "https://m1"]}}},
    ),
    "RKE2, mirrors that are empty, strict": Row(
        "rke2",
        {"etc/rancher/rke2/registries.yaml": "# todo\nmirrors:\n"},
        lambda after: (
            after["etc/rancher/rke2/registries.yaml"] == {"mirrors": {"*": {"endpoint": [URL]}}}
            and after["etc/rancher/rke2/config.yaml.d/regproxy.yaml"] == {"disable-default-registry-endpoint": True}
        ),
        ("--strict",),
    ),
    "docker, nothing there": Row("docker", {}, lambda after: after[DAEMON] == {"registry-mirrors": [URL], "insecure-registries": [HOST]}),
    "docker, other keys and mirrors": Row(
        "docker",
        {DAEMON: '{\n\t"log-driver": "journald",\n\t"registry-mirrors": ["https://m1/"],\n\t"insecure-registries": ["m2"]\n}\n'},
        lambda after: (
            after[DAEMON] == {"log-driver": "journald", "registry-mirrors": [URL, "https://m1/"], "insecure-registries": ["m2", HOST]}
        ),
    ),
    "podman, nothing there": Row(
        "podman",
        {},
        lambda after: (
            [table["prefix"] for table in after[DROP_IN]["registry"]][:2] == ["docker.io", "quay.io"]
            and after[DROP_IN]["registry"][1]["mirror"] == [{"location": f"{HOST}/quay.io", "insecure": True}]
        ),
    ),
    "podman, others mirror it": Row(
        "podman",
        {
            "etc/containers/registries.conf": 'unqualified-search-registries = ["docker.io"]\n'
            '[[registry]]\nlocation = "quay.io"\nblocked = false\n[[registry.mirror]]\nlocation = "m1"\n',
            "etc/containers/registries.conf.d/000-shortnames.conf": '[aliases]\n"busybox" = "docker.io/library/busybox"\n',
        },
        lambda after: (
            after[DROP_IN]["registry"]
            == [
                {
                    "prefix": "quay.io",
                    "location": "quay.io",
                    "blocked": False,
                    "mirror": [{"location": f"{HOST}/quay.io", "insecure": True}, {"location": "m1"}],
                }
            ]
        ),
        ("--registry", "quay.io"),
    ),
    "CRI-O, strict": Row(
        "cri-o",
        {},
        lambda after: after[DROP_IN]["registry"] == [{"prefix": "quay.io", "location": f"{HOST}/quay.io", "insecure": True}],
        ("--registry", "quay.io", "--strict"),
    ),
    "BuildKit, nothing there": Row(
        "buildkit",
        {},
        lambda after: (
            after[BUILDKITD]["registry"]["quay.io"] == {"mirrors": [HOST]} and after[BUILDKITD]["registry"][HOST] == {"http": True}
        ),
    ),
    "BuildKit, other keys and mirrors": Row(
        "buildkit",
        {BUILDKITD: 'debug = true\n\n[worker.oci]\n  gc = false\n\n[registry."docker.io"]\n  mirrors = ["m1"] # old\n  http = false\n'},
        lambda after: (
            after[BUILDKITD]
            == {
                "debug": True,
                "worker": {"oci": {"gc": False}},
                "registry": {"docker.io": {"mirrors": [HOST, "m1"], "http": False}, HOST: {"http": True}},
            }
        ),
        ("--registry", "docker.io"),
    ),
    "Dragonfly, another registry": Row(
        "dragonfly",
        {
            DFINIT: "proxy:\n  addr: http://127.0.0.1:4001\ncontainerRuntime:\n  containerd:\n    registries:\n"
            "    - hostNamespace: ghcr.io\n      serverAddr: https://ghcr.io\n"
        },
        lambda after: (
            after[DFINIT]["proxy"] == {"addr": "http://127.0.0.1:4001"}
            and [(each["hostNamespace"], each["serverAddr"]) for each in after[DFINIT]["containerRuntime"]["containerd"]["registries"]]
            == [("ghcr.io", "https://ghcr.io"), ("docker.io", URL)]
        ),
        ("--registry", "docker.io"),
    ),
    "Spegel": Row("spegel", {}, lambda after: after["etc/spegel/values.yaml"] == {"spegel": {"additionalMirrorTargets": [URL]}}),
}


def command(runtime: str, root: Path, *arguments: str, endpoint: str = URL) -> Result:
    words = ["client-config", runtime, "--root", str(root), "--endpoint", endpoint, *arguments]
    return CliRunner().invoke(app, words)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


def fill(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def snapshot(root: Path) -> dict[str, object]:
    """Describe all that is there: what files say, who owns them, and that they are the same files."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.stat()
        told = (path.read_bytes(), status.st_mtime_ns) if path.is_file() else ()
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, *told)
    return found


def parsed(root: Path) -> dict[str, Parsed]:
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".conf": tomllib.loads,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
    }
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix in readers]
    return {str(path.relative_to(root)): readers[path.suffix](path.read_text()) for path in files}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_n15_03_what_is_applied_is_checked_kept_and_undone_to_the_byte(row: Row, root: Path) -> None:
    fill(root, row.before)
    before = snapshot(root)
    assert command(row.runtime, root, *row.options, "--check").exit_code == 1
    applied = command(row.runtime, root, *row.options, "--apply")
    assert (applied.exit_code, snapshot(root) != before) == (0, True), applied.output
    assert row.holds(parsed(root))
    checked = command(row.runtime, root, *row.options, "--check")
    assert (checked.exit_code, checked.stdout) == (0, "")
    once = snapshot(root)
    again = command(row.runtime, root, *row.options, "--apply")
    assert (again.exit_code, again.stdout, snapshot(root)) == (0, "", once)
    undone = command(row.runtime, root, "--undo")
    assert (undone.exit_code, snapshot(root)) == (0, before), undone.output
    assert command(row.runtime, root, "--undo").exit_code == 0


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_n15_03_another_endpoint_takes_the_place_of_the_first(row: Row, root: Path) -> None:
    fill(root, row.before)
    before = snapshot(root)
    command(row.runtime, root, *row.options, "--apply", endpoint="http://first.example:5000")
    assert command(row.runtime, root, *row.options, "--apply").exit_code == 0
    assert row.holds(parsed(root))
    assert [path for path in root.rglob("*") if path.suffix != RECORD and path.is_file() and b"first.example" in path.read_bytes()] == []
    assert command(row.runtime, root, "--undo").exit_code == 0
    assert snapshot(root) == before


def test_n15_03_without_a_flag_one_whole_file_is_printed_and_nothing_is_written(root: Path) -> None:
    before = snapshot(root)
    printed = command("containerd", root)
    assert (printed.exit_code, printed.stdout, snapshot(root)) == (0, FRESH, before)
    assert str(root / "etc/containerd/certs.d/_default/hosts.toml") in printed.stderr


def test_n15_03_the_directory_of_hosts_toml_files_may_be_named_itself(tmp_path: Path) -> None:
    assert command("containerd", tmp_path, "--apply").exit_code == 0
    assert (tmp_path / "_default" / "hosts.toml").read_text() == FRESH
    assert command("containerd", tmp_path, "--check").exit_code == 0
    refused = command("containerd", tmp_path, "--apply", "--edit-config")
    assert (refused.exit_code, "config.toml" in refused.stderr) == (1, True)
    assert command("containerd", tmp_path, "--undo").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_n15_03_a_registry_with_a_file_of_its_own_is_told_of(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    applied = command("containerd", root, "--apply")
    assert (applied.exit_code, f"/{HOSTS} takes the place of _default" in applied.stderr) == (0, True)
    assert (root / HOSTS).read_text() == '[host."https://m1"]\n'


def test_n15_03_mode_and_owner_of_a_file_stay(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    (root / HOSTS).chmod(0o640)
    if os.geteuid() == 0:
        os.chown(root / HOSTS, 1234, 4321)
    before = (root / HOSTS).stat()
    assert command("containerd", root, "--registry", "docker.io", "--apply").exit_code == 0
    after = (root / HOSTS).stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_n15_03_what_somebody_changed_since_is_not_lost(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    command("containerd", root, "--registry", "docker.io", "--apply")
    changed = (root / HOSTS).read_text() + '[host."https://m2"]\n'
    (root / HOSTS).write_text(changed)
    undone = command("containerd", root, "--undo")
    assert (undone.exit_code, (root / HOSTS).read_text()) == (1, changed)
    assert f"{HOSTS} was changed after regproxy wrote it" in undone.stderr
    assert f"{HOSTS}{BACKUP}" in undone.stderr
    assert command("containerd", root, "--registry", "docker.io", "--check").exit_code == 0
    (root / HOSTS).write_text('[host."https://m2"]\n')
    assert command("containerd", root, "--registry", "docker.io", "--apply").exit_code == 0
    assert hosts(tomllib.loads((root / HOSTS).read_text())) == [URL, "https://m2"]
    assert (root / (HOSTS + BACKUP)).read_text() == '[host."https://m1"]\n'


def test_n15_03_a_file_that_somebody_removed_comes_back_and_one_of_ours_does_not(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    command("containerd", root, "--registry", "docker.io", "--registry", "quay.io", "--apply")
    (root / HOSTS).unlink()
    (root / HOSTS.replace("docker.io", "quay.io")).unlink()
    assert command("containerd", root, "--undo").exit_code == 0
    assert [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()] == [HOSTS]


_KILLED = """
import os, signal, sys
from pathlib import Path
from regproxy.runtimes.apply import Host
from regproxy.runtimes.model import Endpoint, Wanted
from regproxy.runtimes.registered import RUNTIMES
runtime, root, name = RUNTIMES["containerd"], Path(sys.argv[1]), sys.argv[2]
wanted = Wanted(Endpoint.parse(sys.argv[3]), ("docker.io", "quay.io"))
host = Host.at(root, runtime)
current = host.current(runtime, wanted)
def die(place):
    if str(place).endswith(name):
        os.kill(os.getpid(), signal.SIGKILL)
host.apply(runtime.configure(host.originals(current), wanted), current, die)
"""


@pytest.mark.parametrize("registry", ["docker.io", "quay.io"], ids=["there was a file", "there was none"])
@pytest.mark.parametrize("how", ["apply", "undo"])
def test_n15_03_killed_between_write_and_rename_nothing_is_half_written(registry: str, how: str, root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    before = snapshot(root)
    died = subprocess.run([sys.executable, "-c", _KILLED, root, f"{registry}/hosts.toml", URL], check=False)
    assert died.returncode == -signal.SIGKILL
    path = root / HOSTS.replace("docker.io", registry)
    assert (path.read_text() if path.exists() else None) == ('[host."https://m1"]\n' if registry == "docker.io" else None)
    if how == "apply":
        assert command("containerd", root, "--registry", "docker.io", "--registry", "quay.io", "--apply").exit_code == 0
        assert hosts(tomllib.loads(path.read_text()))[0] == URL
        assert (root / (HOSTS + BACKUP)).read_text() == '[host."https://m1"]\n'
    undone = command("containerd", root, "--undo")
    assert undone.exit_code == 0
    left = {name: told for name, told in snapshot(root).items() if not name.endswith(".tmp")}
    assert {name: told for name, told in left.items() if "hosts.toml" in name} == {
        name: told for name, told in before.items() if "hosts.toml" in name
    }


def test_n15_03_a_read_only_disk_is_said_in_one_line_and_nothing_is_left(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    before = snapshot(root)
    ours = f"{sys.executable} -m regproxy client-config containerd --endpoint {URL} --registry docker.io --root {root} --apply"
    mounting = f"mount --bind {root} {root} && mount -o remount,bind,ro {root} || exit 77; exec {ours}"
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    tried = subprocess.run(["unshare", "--mount", "sh", "-c", mounting], capture_output=True, text=True, check=False)
    if tried.returncode == 77 or "unshare" in tried.stderr:
        pytest.skip("nothing can be mounted here")
    assert (tried.returncode, tried.stderr.count("\n")) == (1, 1)
    assert f"cannot write {root / HOSTS}{BACKUP}: Read-only file system (its file system is read-only here" in tried.stderr
    assert snapshot(root) == before


def test_n15_03_a_disk_that_takes_no_more_leaves_the_file_whole(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n'})
    before = snapshot(root)
    ours = f"{sys.executable} -B -m regproxy client-config containerd --endpoint {URL} --registry docker.io --root {root} --apply"
    tried = subprocess.run(["sh", "-c", f"ulimit -f 0; exec {ours} 2>&1 | cat"], capture_output=True, text=True, check=False)
    assert f"cannot write {root / HOSTS}{BACKUP}: File too large" in tried.stdout
    assert (tried.stdout.count("\n"), snapshot(root)) == (1, before)


def test_n15_03_an_original_that_nothing_is_known_of_is_not_overwritten(root: Path) -> None:
    fill(root, {HOSTS: '[host."https://m1"]\n', HOSTS + BACKUP: "theirs"})
    before = snapshot(root)
    refused = command("containerd", root, "--registry", "docker.io", "--apply")
    assert (refused.exit_code, "nothing says of what" in refused.stderr, snapshot(root)) == (1, True, before)


RECORDS = {"deep": "[" * 100_000, "wrong types": '{"original": 5, "written": [["x"]], "folders": [5]}', "a list": "[]"}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_n15_03_a_record_that_is_none_is_refused_in_words(root: Path, record: str) -> None:
    fill(root, {DAEMON: "{}", DAEMON + RECORD: record})
    before = snapshot(root)
    for act in ("--apply", "--undo"):
        refused = command("docker", root, act)
        assert (refused.exit_code, "not a record of ours" in refused.stderr, snapshot(root)) == (1, True, before), refused.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a directory"])
def test_n15_03_what_is_no_file_is_refused_in_words(root: Path, make: Callable[[Path], None]) -> None:
    place = root / DAEMON
    place.parent.mkdir()
    make(place)
    refused = command("docker", root, "--apply")
    assert (refused.exit_code, str(place) in refused.stderr) == (1, True), refused.stderr


def test_n15_03_a_link_is_followed_within_the_host_and_stays_a_link(root: Path) -> None:
    fill(root, {"opt/hosts.toml": '[host."https://m1"]\n'})
    (root / HOSTS).parent.mkdir(parents=True)
    (root / HOSTS).symlink_to("/opt/hosts.toml")
    before = snapshot(root / "opt")
    assert command("containerd", root, "--registry", "docker.io", "--apply").exit_code == 0
    assert (root / HOSTS).is_symlink()
    assert hosts(tomllib.loads((root / "opt/hosts.toml").read_text())) == [URL, "https://m1"]
    assert command("containerd", root, "--undo").exit_code == 0
    assert ((root / HOSTS).is_symlink(), snapshot(root / "opt")) == (True, before)


def test_n15_03_comments_of_others_stay(root: Path) -> None:
    files = {
        REGISTRIES: "# k3s\nmirrors: # of ours\n  docker.io:\n    endpoint:\n      - https://m1 # old\n",
        BUILDKITD: "# buildkit\ndebug = true # for now\n",
        HOSTS: '# containerd\n[host."https://m1"] # old\n',
    }
    fill(root, files)
    for runtime in ("k3s", "buildkit", "containerd"):
        assert command(runtime, root, "--registry", "docker.io", "--apply").exit_code == 0
    for path, text in files.items():
        assert [line for line in text.splitlines() if line not in (root / path).read_text().splitlines()] == []


@pytest.mark.parametrize(
    ("runtime", "options", "file", "said"),
    [
        ("k3s", [], "etc/rancher/k3s/regproxy-ca.crt", "ca_file: "),
        ("docker", [], "etc/docker/certs.d/regproxy.example/ca.crt", ""),
        ("podman", [], "etc/containers/certs.d/regproxy.example/ca.crt", ""),
        ("buildkit", [], "etc/buildkit/regproxy-ca.crt", 'ca = ["/etc/buildkit/regproxy-ca.crt"]'),
    ],
)
def test_n15_03_certificates_lie_where_each_runtime_looks(
    runtime: str, options: list[str], file: str, said: str, root: Path, tmp_path: Path
) -> None:
    certificate = Authority(tmp_path).issue("server").certificate
    words = [*options, "--registry", "docker.io", "--ca", str(certificate)]
    applied = command(runtime, root, *words, "--apply", endpoint="https://regproxy.example")
    assert (applied.exit_code, (root / file).read_bytes()) == (0, certificate.read_bytes()), applied.output
    assert command(runtime, root, *words, "--check", endpoint="https://regproxy.example").exit_code == 0
    printed = command(runtime, root, *words, endpoint="https://regproxy.example").stdout
    assert (said in printed, "insecure" in printed, "http = true" in printed) == (True, False, False)
    assert command(runtime, root, "--undo").exit_code == 0
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_n15_03_what_the_pages_show_is_what_is_written(tmp_path: Path) -> None:
    def printed(runtime: str, *registries: str, options: tuple[str, ...] = ()) -> str:
        (tmp_path / "etc").mkdir(exist_ok=True)
        words = [word for name in registries for word in ("--registry", name)]
        return command(runtime, tmp_path, *words, *options).stdout

    shown = {block.text for block in fenced() if block.path.name in {"clients.md", "README.md"}}
    for text in (
        printed("containerd"),
        printed("containerd", "docker.io", options=("--strict",)),
        printed("k3s"),
        printed("rke2"),
        printed("docker"),
        printed("podman", "docker.io", "quay.io", "ghcr.io", "registry.k8s.io"),
        printed("buildkit", "docker.io", "quay.io"),
        printed("dragonfly", "docker.io", "quay.io"),
    ):
        assert text in shown


DEEP = {
    "containerd": "etc/containerd/certs.d/_default/hosts.toml",
    "podman": "etc/containers/registries.conf",
    "buildkit": "etc/buildkit/buildkitd.toml",
}
REFUSED = {
    "not TOML": ({HOSTS: "[host\n"}, ["--registry", "docker.io"], "is not TOML"),
    "inline tables": ({HOSTS: 'host = {"https://m1" = {}}\n'}, ["--registry", "docker.io"], "By hand"),
    "not text": ({HOSTS: "\udcff"}, ["--registry", "docker.io"], "is not UTF-8 text"),
    "config.toml missing": ({}, ["--edit-config"], "containerd config default"),
    "config.toml of version 1": ({CONFIG: "[plugins.cri]\n"}, ["--edit-config"], "version 1"),
    "mirrors beside config_path": (
        {CONFIG: f'version = 2\n[plugins."{CRI}".registry.mirrors."docker.io"]\nendpoint = ["http://m"]\n'},
        ["--edit-config"],
        "move them to hosts.toml",
    ),
    "JSON that is none": ({DAEMON: "{"}, ["docker"], "is not JSON"),
    "JSON with half a character": ({DAEMON: '{"x": "\\ud800"}'}, ["docker"], "cannot be written"),
    "JSON with a number that is too large": ({DAEMON: '{"x": 1e999}'}, ["docker"], "cannot be written"),
    **{f"TOML that is too deep for {name}": ({path: "a = " + "[" * 20_000}, [name], "too deep") for name, path in DEEP.items()},
    "docker and quay.io": ({}, ["docker", "--registry", "quay.io"], "docker mirrors only Docker Hub"),
    "docker, strict": ({}, ["docker", "--strict"], "there is no --strict"),
    "YAML that is none": ({REGISTRIES: "mirrors: ["}, ["k3s"], "is not YAML"),
    "a list for a mapping": ({REGISTRIES: "- mirrors"}, ["k3s"], "is not a mapping"),
    "the old registries.conf": ({"etc/containers/registries.conf": "[registries.search]\nregistries = []\n"}, ["podman"], "first version"),
    "a port in a path": ({}, ["podman", "--registry", "registry.example:5000"], "has a port"),
    "a name that is none": ({}, ["containerd", "--registry", "../etc"], "is not a registry"),
    "no certificates": ({}, ["--ca", os.devnull], "--ca is for an https endpoint"),
}


@pytest.mark.parametrize(("files", "options", "said"), REFUSED.values(), ids=REFUSED)
def test_n15_03_what_cannot_be_done_without_a_loss_is_refused_in_words(
    files: dict[str, str], options: list[str], said: str, root: Path
) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode(errors="surrogateescape"))
    before = snapshot(root)
    runtime, *others = options if options[0] in RUNTIMES else ["containerd", *options]
    refused = command(runtime, root, *others, "--apply")
    assert (refused.exit_code, said in refused.stderr, snapshot(root)) == (1, True, before), refused.stderr
    assert command(runtime, root, *others, "--check").exit_code == 2


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("regproxy:5000", "is not a URL"),
        ("ftp://regproxy", "is not a URL"),
        ("http://user:secret@regproxy", "has more than"),
        ("http://regproxy:5000/some/path", "regproxy serves /v2/"),
        ("http://regproxy:5000/v2/quay.io", "for one registry"),
        ("http://regproxy:99999", "is not a URL"),
        ('http://reg"]proxy', "is not a URL"),
    ],
)
def test_n15_03_an_endpoint_that_no_runtime_could_use_is_refused(endpoint: str, said: str, root: Path) -> None:
    refused = command("containerd", root, endpoint=endpoint)
    assert (refused.exit_code, said in refused.stderr, "secret" in refused.output) == (1, True, False), refused.stderr


def test_n15_03_certificates_lie_beside_the_file_that_names_them(root: Path, tmp_path: Path) -> None:
    certificate = Authority(tmp_path).issue("server").certificate
    options = ["--registry", "docker.io", "--ca", str(certificate)]
    assert command("containerd", root, *options, "--apply", endpoint="https://regproxy.example").exit_code == 0
    written = tomllib.loads((root / HOSTS).read_text())
    assert written["host"]["https://regproxy.example"]["ca"] == "regproxy-ca.crt"
    assert (root / HOSTS).with_name("regproxy-ca.crt").read_bytes() == certificate.read_bytes()
    printed = command("containerd", root, *options, endpoint="https://regproxy.example")
    assert tomllib.loads(printed.stdout) == written
    assert command("containerd", root, "--undo").exit_code == 0
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_n15_03_a_path_in_the_endpoint_is_taken_as_it_is(root: Path) -> None:
    assert command("containerd", root, "--registry", "quay.io", "--apply", endpoint=f"{URL}/v2/quay.io").exit_code == 0
    written = tomllib.loads((root / HOSTS.replace("docker.io", "quay.io")).read_text())
    assert written["host"][f"{URL}/v2/quay.io"]["override_path"] is True
