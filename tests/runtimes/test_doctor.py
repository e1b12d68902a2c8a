"""`regproxy doctor`: each way in which pulls go around the cache is found where it is, and nothing where there is none."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner, Result

from regproxy.cli import app
from regproxy.oci.digest import Digest
from regproxy.oci.doctor_image import TAG, name_image
from regproxy.runtimes.doctor.diagnosis import certificates_of, endpoint_of
from regproxy.runtimes.doctor.proxying import variable_in_the_way
from regproxy.runtimes.model import Endpoint
from regproxy.runtimes.registered import RUNTIMES
from tests.fakes.authority import Authority
from tests.rig import Rig, rig

CERTS = "etc/containerd/certs.d"
DEFAULT = f"{CERTS}/_default/hosts.toml"
CONFIG = "etc/containerd/config.toml"
IMAGES = "io.containerd.cri.v1.images"
RIGHT_CONFIG = f"version = 3\n[plugins.'{IMAGES}'.registry]\n  config_path = '/{CERTS}'\n"
UNIT = "etc/systemd/system/containerd.service"
DROP_IN = "etc/systemd/system/containerd.service.d/proxy.conf"
EMPTY = "127.0.0.1:1"  # nothing listens there


def hosts(url: str, more: str = "") -> str:
    return f'[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "200ms"\n{more}'


def fill(root: Path, files: Mapping[str, str]) -> None:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def ran(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def told(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code in {0, 1}, result.output
    findings: list[dict[str, Any]] = [each for runtime in json.loads(result.stdout)["runtimes"] for each in runtime["findings"]]
    assert (result.exit_code == 1) == bool(findings)
    return findings


async def doctor(root: Path, runtime: str, *options: str | Path, version: str = "2.4.2") -> list[dict[str, Any]]:
    words: list[str | Path] = ["doctor", runtime, "--root", root, "--runtime-version", version, "--json", *options]
    return told(await asyncio.to_thread(ran, *words))


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": "http://127.0.0.1:9"}]}}) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def url_of(cache: Rig) -> str:
    return f"http://127.0.0.1:{cache.port}"


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name != "containerd"])
async def test_n15_04_nothing_is_found_where_client_config_wrote(runtime: str, root: Path, cache: Rig) -> None:
    fill(root, {})
    found = await doctor(root, runtime, "--endpoint", url_of(cache))
    assert {each["code"] for each in found} == {"not-configured"}
    ran("client-config", runtime, "--endpoint", url_of(cache), "--root", root, "--apply")
    assert await doctor(root, runtime) == []
    assert await doctor(root, runtime, "--endpoint", url_of(cache)) == []


async def test_n15_04_a_right_containerd_has_no_finding(root: Path, cache: Rig) -> None:
    url = url_of(cache)
    fill(root, {CONFIG: RIGHT_CONFIG, DEFAULT: hosts(url), f"{CERTS}/docker.io/hosts.toml": f'server = "{url}"\n\n{hosts(url)}'})
    assert await doctor(root, "containerd", version="1.6.20") == []
    assert await doctor(root, "containerd") == []
    everything = await asyncio.to_thread(ran, "doctor", "--root", root, "--runtime-version", "2.4.2")
    assert (everything.exit_code, "nothing keeps pulls from going through the cache" in everything.stdout) == (0, True)


async def test_n15_04_the_cache_alone_has_the_doctors_image(cache: Rig) -> None:
    """It is served whole, and a repository beside it is asked of upstream, which is away."""
    url = f"{url_of(cache)}/v2/{name_image('amd64', '0' * 32)}"
    async with aiohttp.ClientSession() as session:
        for query in ("?ns=docker.io", ""):
            async with session.get(f"{url}/manifests/{TAG}{query}") as response:
                body = await response.read()
                digest = str(Digest.of(body))
                assert (response.status, response.headers["Docker-Content-Digest"]) == (200, digest)
                assert response.headers["Content-Type"] == json.loads(body)["mediaType"]
            async with session.head(f"{url}/manifests/{digest}{query}") as response:
                assert (response.status, response.content_length) == (200, len(body))
            for each in (json.loads(body)["config"], *json.loads(body)["layers"]):
                async with session.get(f"{url}/blobs/{each['digest']}{query}") as response:
                    content = await response.read()
                    assert (str(Digest.of(content)), len(content)) == (each["digest"], each["size"])
            async with session.get(f"{url}/manifests/2{query}") as response:
                assert response.status == 404
        async with session.get(f"{url}0/manifests/{TAG}") as response:
            assert response.status >= 500


async def test_n15_04_the_directory_of_hosts_alone_is_looked_at(tmp_path: Path, cache: Rig) -> None:
    """As the Pod has it that configures a node."""
    (tmp_path / "certs.d/_default").mkdir(parents=True)
    (tmp_path / "certs.d/_default/hosts.toml").write_text(hosts(url_of(cache)))
    assert await doctor(tmp_path / "certs.d", "containerd") == []


async def test_n15_04_it_is_said_whether_there_is_a_way_around(root: Path, cache: Rig) -> None:
    url = url_of(cache)
    for files, said in ((hosts(url), "not strict: "), (f'server = "{url}"\n\n{hosts(url)}', "strict: ")):
        fill(root, {CONFIG: RIGHT_CONFIG, DEFAULT: files})
        result = await asyncio.to_thread(ran, "doctor", "containerd", "--root", root, "--json", "--runtime-version", "1.6.20")
        [runtime] = json.loads(result.stdout)["runtimes"]
        assert any(note.startswith(said) for note in runtime["notes"])
        assert any("1.6.20 knows no dial_timeout" in note for note in runtime["notes"])


URL = "http://CACHE"  # replaced by the running one
WRONG = {
    "no config.toml, containerd 1.6": ({CONFIG: None}, "1.6.20", "config-path-missing", f"/{CONFIG}"),
    "no config.toml, containerd 2.2": ({CONFIG: None}, "2.2.0", "config-path-two-directories", f"/{CONFIG}"),
    "no config_path": ({CONFIG: "version = 2\n"}, "1.7.0", "config-path-missing", f"/{CONFIG}"),
    "two directories": (
        {CONFIG: RIGHT_CONFIG.replace(f"'/{CERTS}'", f"'/{CERTS}:/etc/docker/certs.d'")},
        "2.2.0",
        "config-path-two-directories",
        f"/{CONFIG}:3",
    ),
    "another directory": ({CONFIG: RIGHT_CONFIG.replace(f"/{CERTS}", "/etc/certs")}, "2.4.2", "config-path-elsewhere", f"/{CONFIG}:3"),
    "a drop-in says another directory": (
        {
            CONFIG: f'imports = ["/etc/containerd/more/*.toml"]\n{RIGHT_CONFIG}',
            "etc/containerd/more/a.toml": RIGHT_CONFIG.replace(f"/{CERTS}", "/etc/certs"),
        },
        "2.4.2",
        "config-path-elsewhere",
        "/etc/containerd/more/a.toml:3",
    ),
    "config.toml is not TOML": ({CONFIG: "version = 3\n[plugins\n"}, "2.4.2", "config-not-parsed", f"/{CONFIG}:2"),
    "hosts.toml is not TOML": ({DEFAULT: f'server = "x"\n[host."{URL}"\n'}, "2.4.2", "hosts-not-parsed", f"/{DEFAULT}:2"),
    "a capability that there is not": (
        {DEFAULT: hosts(URL).replace('"resolve"', '"resolv"')}, "2.4.2", "hosts-not-parsed", f"/{DEFAULT}:2"
    ),
    "another host": ({DEFAULT: hosts("http://other:5000")}, "2.4.2", "wrong-host", f"/{DEFAULT}:1"),
    "another host first": ({DEFAULT: hosts("http://other:5000") + hosts(URL)}, "2.4.2", "not-first", f"/{DEFAULT}:1"),
    "no hosts.toml": ({DEFAULT: None}, "2.4.2", "not-configured", f"/{CERTS}"),
    "a registry of its own": (
        {f"{CERTS}/quay.io/hosts.toml": hosts("http://other:5000")}, "2.4.2", "registry-goes-around", f"/{CERTS}/quay.io/hosts.toml:1"
    ),
    "no dial_timeout": ({DEFAULT: f'[host."{URL}"]\n  capabilities = ["pull", "resolve"]\n'}, "2.4.2", "no-dial-timeout", f"/{DEFAULT}:1"),
    "a long dial_timeout": ({DEFAULT: hosts(URL).replace("200ms", "1m")}, "2.4.2", "no-dial-timeout", f"/{DEFAULT}:3"),
    "server below the table": ({DEFAULT: hosts(URL, f'server = "{URL}"\n')}, "2.4.2", "server-below-table", f"/{DEFAULT}:4"),
    "tags are not asked": ({DEFAULT: hosts(URL).replace(', "resolve"', "")}, "2.4.2", "capability-missing", f"/{DEFAULT}:2"),
    "a path that is not overridden": ({DEFAULT: hosts(URL, "  override_path = true\n")}, "2.4.2", "wrong-path", f"/{DEFAULT}:4"),
    "a proxy in the unit": (
        {DROP_IN: '[Service]\nEnvironment="HTTP_PROXY=http://proxy:3128" NO_PROXY=.svc\n'}, "2.4.2", "proxy-in-the-way", f"/{DROP_IN}:2"
    ),
    "a proxy in the unit's file": (
        {UNIT: "[Service]\nEnvironmentFile=-/etc/default/containerd\n", "etc/default/containerd": "A=b\nhttp_proxy=http://proxy:3128\n"},
        "2.4.2",
        "proxy-in-the-way",
        "/etc/default/containerd:2",
    ),
    "a proxy of the process": (
        {"proc/7/comm": "containerd\n", "proc/7/environ": "A=b\0HTTP_PROXY=http://proxy:3128\0"},
        "2.4.2",
        "proxy-in-the-way",
        "/proc/7/environ",
    ),
}  # fmt: skip


async def test_n15_04_a_finding_is_printed_with_its_place_and_what_to_do(root: Path, cache: Rig) -> None:
    fill(root, {CONFIG: "version = 2\n", DEFAULT: hosts(url_of(cache))})
    result = await asyncio.to_thread(ran, "doctor", "containerd", "--root", root, "--runtime-version", "1.7.0")
    assert result.exit_code == 1
    assert "FAIL config-path-missing" in result.stdout
    assert f"at /{CONFIG}" in result.stdout
    assert "-> set config_path" in result.stdout


async def test_n15_04_containerd_1_7_takes_two_directories_and_pulls_by_itself_do_too(root: Path, cache: Rig) -> None:
    two = RIGHT_CONFIG.replace(f"'/{CERTS}'", f"'/{CERTS}:/etc/docker/certs.d'")
    fill(root, {CONFIG: two, DEFAULT: hosts(url_of(cache))})
    assert await doctor(root, "containerd", version="1.7.20") == []
    fill(root, {CONFIG: two.replace(".registry]", "]\nuse_local_image_pull = true\n[plugins.'io.containerd.cri.v1.images'.registry]")})
    assert await doctor(root, "containerd", version="2.2.0") == []


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer one connection after the other until the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with contextlib.suppress(OSError), connection:
                        if tls is None:
                            answer(connection)
                            continue
                        with tls.wrap_socket(connection, server_side=True) as wrapped:
                            answer(wrapped)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def answering(body: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return answer


@pytest.fixture(scope="module")
def answered() -> Iterator[int]:
    """Answer as regproxy does, as far as the doctor asks."""
    with listening(answering(b'{"name": "regproxy"}')) as port:
        yield port


@pytest.mark.parametrize(("files", "version", "code", "where"), WRONG.values(), ids=WRONG)
def test_n15_04_each_way_around_the_cache_is_found_where_it_is(
    files: dict[str, str | None], version: str, code: str, where: str, root: Path, answered: int
) -> None:
    # Go goes to loopback directly whatever the variables say, so the cache has a name here.
    url = f"http://{socket.gethostname()}:{answered}" if code == "proxy-in-the-way" else f"http://127.0.0.1:{answered}"
    right: dict[str, str | None] = {CONFIG: RIGHT_CONFIG, DEFAULT: hosts(url)}
    fill(root, {path: text.replace(URL, url) for path, text in (right | files).items() if text is not None})
    found = told(ran("doctor", "containerd", "--root", root, "--runtime-version", version, "--json", "--endpoint", url))
    ours = [each for each in found if not each["code"].startswith("endpoint-")]  # where the name leads to is not ours
    assert [(each["code"], each["where"]) for each in ours] == [(code, where)]
    assert all(each["what"] and each["advice"] for each in found)
    if code != "proxy-in-the-way":
        assert ours == found


def found_at(root: Path, url: str, *options: str | Path) -> list[str]:
    fill(root, {CONFIG: RIGHT_CONFIG, DEFAULT: hosts(url)})
    words: list[str | Path] = ["doctor", "containerd", "--root", root, "--runtime-version", "2.4.2", "--json", *options]
    return [each["code"] for each in told(ran(*words))]


def test_n15_04_an_endpoint_out_of_reach_says_how(root: Path) -> None:
    assert found_at(root, "http://regproxy.invalid:5000") == ["endpoint-dns"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        assert found_at(root, f"http://127.0.0.1:{closed.getsockname()[1]}") == ["endpoint-refused"]


def test_n15_04_an_endpoint_whose_queue_is_full_times_out(root: Path) -> None:
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):  # nobody accepts; the kernel takes no more than a few
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        assert found_at(root, f"http://127.0.0.1:{listener.getsockname()[1]}") == ["endpoint-timeout"]


def test_n15_04_a_cache_that_stands_still_is_told_from_one_that_is_off(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        assert found_at(root, f"http://127.0.0.1:{stopped.getsockname()[1]}") == ["endpoint-silent"]


def test_n15_04_something_else_than_regproxy_is_noticed(root: Path) -> None:
    for body in (b"hello", b'{"name": "other"}', b"[]"):
        with listening(answering(body)) as port:
            assert found_at(root, f"http://127.0.0.1:{port}") == ["not-regproxy"]


def test_n15_04_the_cache_of_another_cluster_is_noticed(root: Path) -> None:
    with listening(answering(b'{"name": "regproxy", "cluster": "staging"}')) as port:
        url = f"http://127.0.0.1:{port}"
        assert found_at(root, url, "--cluster", "production") == ["other-cluster"]
        assert found_at(root, url, "--cluster", "staging") == []
    with listening(answering(b'{"name": "regproxy"}')) as port:
        assert found_at(root, f"http://127.0.0.1:{port}", "--cluster", "production") == ["other-cluster"]


async def test_n15_04_a_cache_says_whose_it_is_where_that_is_set(tmp_path: Path, root: Path) -> None:
    upstreams = {"docker.io": {"hosts": [{"url": "http://127.0.0.1:9"}]}}
    async with rig(tmp_path / "store", upstreams, cluster="production") as running:
        url = url_of(running)
        assert await asyncio.to_thread(found_at, root, url, "--cluster", "production") == []
        assert await asyncio.to_thread(found_at, root, url, "--cluster", "staging") == ["other-cluster"]


async def test_n15_04_a_cache_that_asks_who_its_clients_are_is_regproxy(tmp_path: Path, root: Path) -> None:
    upstreams = {"docker.io": {"hosts": [{"url": "http://127.0.0.1:9"}], "access": "proven"}}
    async with rig(tmp_path / "store", upstreams) as running:
        assert await asyncio.to_thread(found_at, root, url_of(running)) == []


def test_n15_04_a_certificate_is_judged_by_what_the_runtime_would_believe(root: Path, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    server = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    with listening(answering(b'{"name": "regproxy"}'), context) as port:
        url = f"https://127.0.0.1:{port}"
        named = hosts(url, '  ca = "ca.crt"\n')
        fill(root, {CONFIG: RIGHT_CONFIG, DEFAULT: hosts(url)})
        assert codes(root) == ["certificate-untrusted"]
        fill(root, {DEFAULT: named})
        assert codes(root) == ["certificate-missing", "certificate-untrusted"]
        fill(root, {f"{CERTS}/_default/ca.crt": other.ca.read_text()})
        assert codes(root) == ["certificate-untrusted"]
        fill(root, {f"{CERTS}/_default/ca.crt": authority.ca.read_text()})
        assert codes(root) == []
    with listening(answering(b'{"name": "regproxy"}')) as port:
        assert found_at(root, f"https://127.0.0.1:{port}") == ["not-https"]


def codes(root: Path) -> list[str]:
    words: list[str | Path] = ["doctor", "containerd", "--root", root, "--runtime-version", "2.4.2", "--json"]
    return [each["code"] for each in told(ran(*words))]


def test_n15_04_what_cannot_be_told_is_said_so(root: Path) -> None:
    fill(root, {})
    nothing = ran("doctor", "--root", root)
    assert (nothing.exit_code, "no container runtime" in nothing.stderr) == (2, True)
    assert ran("doctor", "containerd", "--root", root, "--endpoint", "regproxy:5000").exit_code == 2
    assert ran("doctor", "containerd", "--root", root, "--runtime-version", "new").exit_code == 2
    (root / CONFIG).mkdir(parents=True)
    unreadable = ran("doctor", "containerd", "--root", root, "--endpoint", f"http://{EMPTY}")
    assert (unreadable.exit_code, f"cannot read {root / CONFIG}" in unreadable.stderr) == (2, True)


@pytest.mark.parametrize(
    ("environment", "endpoint", "variable"),
    [
        ({"HTTP_PROXY": "http://p"}, "http://regproxy.example:5000", "HTTP_PROXY"),
        ({"http_proxy": "http://p"}, "http://regproxy.example:5000", "http_proxy"),
        ({"HTTPS_PROXY": "http://p"}, "http://regproxy.example:5000", None),
        ({"HTTPS_PROXY": "http://p"}, "https://regproxy.example", "HTTPS_PROXY"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "regproxy.example"}, "http://regproxy.example:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "a, .example"}, "http://regproxy.example:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "example"}, "http://regproxy.example:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "xample"}, "http://regproxy.example:5000", "HTTP_PROXY"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, "http://regproxy.example:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "regproxy.example:80"}, "http://regproxy.example:5000", "HTTP_PROXY"),
        ({"HTTP_PROXY": "http://p", "no_proxy": "10.0.0.0/8"}, "http://10.1.2.3:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "10.1.2.3"}, "http://10.1.2.3:5000", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "192.168.0.0/16"}, "http://10.1.2.3:5000", "HTTP_PROXY"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, "http://[fd00::1]:5000", None),
        ({"HTTP_PROXY": "http://p"}, "http://127.0.0.1:5000", None),
        ({"HTTP_PROXY": "http://p"}, "http://[::1]:5000", None),
        ({"HTTP_PROXY": ""}, "http://regproxy.example:5000", None),
    ],
)
def test_n15_04_proxy_variables_mean_what_go_makes_of_them(environment: dict[str, str], endpoint: str, variable: str | None) -> None:
    assert variable_in_the_way(environment, Endpoint.parse(endpoint)) == variable


def test_n15_04_the_endpoint_is_the_one_for_all_registries_first() -> None:
    files = {f"{CERTS}/a.io/hosts.toml": hosts("http://one"), DEFAULT: hosts("https://two", 'ca = ["/etc/a.crt", "b.crt"]\n')}
    containerd = RUNTIMES["containerd"]
    assert endpoint_of(containerd, files) == "https://two"
    assert certificates_of(containerd, files, Endpoint.parse("https://two")) == ["etc/a.crt", f"{CERTS}/_default/b.crt"]
