"""Files of runtimes that parse and have another shape than they should: refused in words, or changed; never a traceback."""

import pytest

from regproxy.runtimes.doctor.diagnosis import certificates_of, diagnose, endpoint_of
from regproxy.runtimes.model import Endpoint, Runtime, Unsupported, Wanted
from regproxy.runtimes.registered import RUNTIMES

ENDPOINT = Endpoint.parse("http://r:5000")
IMAGES = "io.containerd.cri.v1.images"
TOML = (
    *("", "x = 1", "host = 1", "host = []", '[host.a]\ncapabilities = "x"', "[host.a]\ncapabilities = 1", '[host]\n"http://r:5000" = 1'),
    '[host."http://r:5000"]\ncapabilities = [1]\ndial_timeout = 3\nca = [1]',
    '[host."http://r:5000"]\ncapabilities = 5\nca = 7',
    *("server = 1", "imports = 1", "imports = [1]", "version = []", 'version = "3"', "version = 2", "version = 2\nplugins = 1"),
    f'version = 3\n[plugins]\n"{IMAGES}" = 1',
    f'version = 3\n[plugins."{IMAGES}"]\nregistry = 1',
    f'version = 3\n[plugins."{IMAGES}".registry]\nconfig_path = 1\nmirrors = 1\nconfigs = 1',
    *("registry = 1", "registry = [1]", "registry = []", '[registry]\n"docker.io" = 1', '[registry]\n"r:5000" = 1'),
    *('[registry."docker.io"]\nmirrors = "x"', '[registry."docker.io"]\nmirrors = [1]', '[registry."r:5000"]\nhttp = 5'),
    *("[[registry]]\nmirror = 1", "[[registry]]\nlocation = 1", '[[registry]]\nprefix = "docker.io"\nmirror = [1]', "registries = 1"),
    '[[registry]]\nprefix = "docker.io"\n[[registry.mirror]]\nlocation = 4',
)
YAML = (
    *("", "mirrors: 1", "mirrors: []", "mirrors: {docker.io: 1}", "mirrors: {docker.io: []}", "mirrors: {docker.io: {endpoint: 1}}"),
    *("mirrors: {docker.io: {endpoint: {}}}", "mirrors: {1: {endpoint: [1]}}", "mirrors: {}\n", "mirrors:\n\t- a", "configs: 1"),
    *("mirrors:\n  docker.io:\n    endpoint:\n    - a\n", "mirrors:\n  docker.io:\n    endpoint: # none\n", "a: &x {b: *x}", "&a [*a]"),
    "mirrors: &m\n  docker.io: &e\n    endpoint: [a]\n  quay.io: *e\n",
    *("---\na: 1\n---\nb: 2\n", "? {a: b}\n: c\n", "2020-01-01: x", "!!python/object:os.system {}"),
    *(f"containerRuntime: {each}" for each in ("null", "1", "{containerd: null}", "{containerd: 1}", "{containerd: {registries: 1}}")),
    *(f"containerRuntime: {{containerd: {{registries: {each}}}}}" for each in ("[1]", "[{}]", "{}")),
    *(f"spegel: {each}" for each in ("null", "1", "{additionalMirrorTargets: 1}", "{additionalMirrorTargets: [1]}")),
)
JSON = ("", "null", "1", "[]", '{"registry-mirrors": 1, "insecure-registries": null}', '{"registry-mirrors": [1]}', "[" * 2000)


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_n15_03_a_file_of_another_shape_is_refused_or_changed_for_good(runtime: Runtime) -> None:
    for wanted in (
        Wanted(ENDPOINT, ("docker.io",)),
        Wanted(ENDPOINT, edits_config=True),
        Wanted(ENDPOINT, ("docker.io",), is_strict=True),
    ):
        for pattern in (*runtime.writes, "etc/containers/registries.conf"):
            path = pattern.replace("*", "docker.io")
            for text in {".toml": TOML, ".conf": TOML, ".yaml": YAML, ".json": JSON}.get(path[path.rindex(".") :], ()):
                files = {path: text}
                endpoint_of(runtime, files)
                certificates_of(runtime, files, ENDPOINT)
                diagnose(runtime, files, ENDPOINT, ("docker.io",), (2, 4, 2))
                try:
                    plan = runtime.configure(files, wanted)
                except Unsupported:
                    continue
                again = runtime.configure(files | {file.path: file.text for file in plan.files}, wanted)
                assert [file.reasons for file in again.files if file.reasons] == [], (path, text)
