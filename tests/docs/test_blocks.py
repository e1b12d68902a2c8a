"""Everything that the documentation shows works: what is configuration loads, what is a command exists with the options it is given."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import typer
import yaml
from joserfc.jwk import RSAKey

from regproxy.cli import app
from regproxy.config import Settings, load
from regproxy.config.settings import Document
from regproxy.config.upstream import HostEntry, UpstreamEntry
from tests.fakes.authority import Authority
from tests.trust.keyless_signing import Sigstore
from tests.trust.signing import Signer

from .blocks import ROOT, Block, commands, fenced, inline

NAMES = {"DOCKER_USER", "DOCKER_PASSWORD", "REGPROXY_REDIS_KEY", "TCR_USER", "TCR_PASSWORD", "SWR_KEY", "SWR_PASSWORD", "REGISTRY_PASSWORD"}
NAMES |= {"GRAFANA_TOKEN", "QUAY_HOOK_SECRET", "HARBOR_HOOK_SECRET", "DOCKERHUB_HOOK_SECRET", "HARBOR_PREHEAT_SECRET", "CF_ID", "CF_SECRET"}
NAMES |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "REGPROXY_OBJECT_KEY", "REGPROXY_FLEET_KEY"}
NAMES |= {"ALIYUN_KEY_ID", "ALIYUN_KEY_SECRET", "TENCENT_KEY_ID", "TENCENT_KEY_SECRET", "HUAWEI_AK", "HUAWEI_SK"}
ENVIRONMENT = dict.fromkeys(NAMES, "0123456789abcdef" * 4) | {"OPS_TOKEN": "fedcba9876543210" * 4}  # as long as keys have to be
# Programs that the documentation calls, beside those that are looked at below.
KNOWN = {"curl", "skopeo", "pipx", "uvx", "useradd", "install", "systemctl", "docker", "docker-compose", "python3", "/opt/regproxy/bin/pip",
         "apt-get", "bash", "export", "kill", "openssl", "update-ca-certificates", "crane", "oras", "helm", "podman", "ollama"}  # fmt: skip
_READ_AT_START = (  # public keys, authorities that vouch for them, a key of ours; who may log in; a secret; a cluster's own
    r"/(?:etc/regproxy|var/run/secrets/kubernetes\.io/serviceaccount)/"
    r"(\w+\.pub|trusted_root\.json|app\.pem|htpasswd|tokens\.yaml|dockerhub-secret|ca\.crt|token\b)"
)
LANGUAGES = {"yaml", "toml", "json", "sh"}


def of(language: str) -> list[object]:
    return [pytest.param(block, id=block.name) for block in fenced() if block.language == language]


def loaded(text: str, folder: Path) -> Settings:
    path = folder / "regproxy.yaml"
    for name in set(re.findall(_READ_AT_START, text)):
        (folder / name).write_bytes(_file(name, folder))
    path.write_text(re.sub(_READ_AT_START, rf"{folder}/\1", text))
    return load(path, ENVIRONMENT)


def _file(name: str, folder: Path) -> bytes:
    match name:
        case "app.pem":
            return RSAKey.generate_key(2048).as_pem(private=True)
        case "ca.crt":
            return Authority(folder).ca.read_bytes()
        case "htpasswd":
            return b"ci:" + bcrypt.hashpw(b"password", bcrypt.gensalt(4))
        case "tokens.yaml":
            return b'ci: {token: 5d41402abc4b2a76b9719d91, allow: ["docker.io/library/*"]}'
        case "dockerhub-secret" | "token":
            return b"0123456789abcdef" * 4
        case "trusted_root.json":
            return Sigstore().trust_root()
        case _:
            return Signer().pem


def test_n13_03_every_block_says_what_it_is() -> None:
    assert [block.name for block in fenced() if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", of("yaml"))
def test_n13_03_a_block_of_configuration_loads(block: Block, tmp_path: Path) -> None:
    document = yaml.safe_load(block.text)
    if "mirrors" in document:  # registries.yaml of k3s and RKE2
        assert set(document) == {"mirrors"}
        assert all(mirror["endpoint"] for mirror in document["mirrors"].values())
        return
    if set(document) == {"containerRuntime"}:  # dfinit.yaml of Dragonfly
        assert set(document["containerRuntime"]["containerd"]) == {"registries", "proxyAllRegistries"}
        return
    text = block.text
    if (
        "certificates" in document.get("clients", {}) and "tls" not in document
    ):  # which the page of all settings has in a section of its own
        authority = Authority(tmp_path)
        pair = authority.issue("server")
        text += f"tls: {{certificate: {pair.certificate}, key: {pair.key}, client_ca: {authority.ca}}}\n"
    loaded(text, tmp_path)


@pytest.mark.parametrize("block", of("toml"))
def test_n13_04_a_runtime_is_given_a_whole_file_that_means_what_it_says(block: Block) -> None:
    document = tomllib.loads(block.text)
    for host in document.get("host", {}).values():
        assert set(host) == {"capabilities", "dial_timeout"}, "a key below the table is the host's: `server` belongs above it"
    match document.get("registry"):
        case [*tables]:  # registries.conf of podman and CRI-O
            assert all(table["prefix"] == table["location"] for table in tables)
            assert all(mirror["location"].endswith(f"/{table['prefix']}") for table in tables for mirror in table["mirror"])
        case dict(tables):  # buildkitd.toml
            [proxy] = [name for name, table in tables.items() if table == {"http": True}]
            assert all(table == {"mirrors": [proxy]} for name, table in tables.items() if name != proxy)
    if "plugins" in document:
        names = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}
        assert document["plugins"] == {names[document["version"]]: {"registry": {"config_path": "/etc/containerd/certs.d"}}}


@pytest.mark.parametrize("block", of("json"))
def test_n13_03_a_block_of_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_n13_03_a_configuration_that_comes_with_us_loads(path: Path) -> None:
    load(path, ENVIRONMENT)


def _examples() -> list[object]:
    """Find list items in the comments of our configurations: hosts and rules to take over by removing the sign."""
    found: list[object] = []
    for path in sorted(ROOT.glob("config/*.yaml")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if item := re.fullmatch(r"\s*# - (\{.*\})", line):
                found.append(pytest.param(item[1], id=f"{path.name}:{number}"))
    return found


@pytest.mark.parametrize("item", _examples())
def test_n13_03_an_example_in_a_comment_loads(item: str, tmp_path: Path) -> None:
    text = item.replace("YOUR-ID", "your-id")
    loaded(f"upstreams:\n  docker.io:\n    hosts:\n      - {text}\n      - {{url: https://registry-1.docker.io}}\n", tmp_path)


UPSTREAM, HOST = UpstreamEntry.model_fields, HostEntry.model_fields
SETTINGS = [
    pytest.param(block, id=f"{block.name} {block.text[:30]}")
    for block in inline()
    if block.path.name != "CHANGELOG.md"  # it tells of what was, in short
    if re.match(r"[a-z_]+: \S", block.text) and block.text.partition(":")[0] in {*Document.model_fields, *UPSTREAM, *HOST}
]


@pytest.mark.parametrize("block", SETTINGS)
def test_n13_03_a_setting_in_a_sentence_loads(block: Block, tmp_path: Path) -> None:
    key, _, value = block.text.partition(": ")
    pair = Authority(tmp_path).issue("server")
    value = value.replace("tls.crt", str(pair.certificate)).replace("tls.key", str(pair.key))
    if key in Document.model_fields:
        loaded(f"{key}: {value}", tmp_path)
    elif key in UPSTREAM:
        upstreams = f"{{registry.example: {{hosts: [{{url: https://registry.example}}], {key}: {value}}}}}"
        loaded(f"listen: 127.0.0.1:5000\nupstreams: {upstreams}", tmp_path)
    else:
        hosts = f"[{{url: https://mirror.example, {key}: {value}}}, {{url: https://registry.example}}]"
        loaded(f"upstreams: {{registry.example: {{hosts: {hosts}}}}}", tmp_path)


@pytest.mark.parametrize("block", [pytest.param(block, id=f"{block.name} {block.text[:40]}") for block in commands()])
def test_n13_03_a_command_exists_and_takes_what_it_is_given(block: Block) -> None:
    words = shlex.split(block.text.replace("$(openssl rand -hex 32)", "0" * 64))
    while "=" in words[0]:
        words = words[1:]
    program, *arguments = words
    if program == "regproxy":
        _check_ours(arguments)
    elif program == "make":
        targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if re.match(r"[a-z-]+:", line)}
        assert {word for word in arguments if "=" not in word} <= targets
    elif program == "python" and arguments[:1] == ["-m"]:
        module = ROOT / arguments[1].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()
    elif "/" in program and not program.startswith("/"):
        assert (ROOT / program).exists()
    else:
        assert program in KNOWN
    for word in arguments:
        if re.match(r"(deploy|config|docs|bench|tests)/", word):
            assert (ROOT / word).exists()


def _check_ours(arguments: list[str]) -> None:
    """Read a command line as the program does, short of doing it; typer raises where it is not understood."""
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        name, *arguments = arguments
        if name.startswith("-"):
            assert name in {option for each in command.params for option in each.opts}
            return
        command = command.commands[name]
    if not hasattr(command, "commands"):
        command.make_context(command.name, arguments or ["IMAGE"], resilient_parsing=not arguments)


def test_n13_09_the_chinese_readme_shows_all_that_the_english_one_does() -> None:
    """Its blocks but for their comments, its sections, tables, pictures and links."""
    english, chinese = (_shown(ROOT / name) for name in ("README.md", "README.zh-CN.md"))
    assert chinese == english


def test_n13_09_the_chinese_readme_calls_a_blob_a_blob() -> None:
    text = (ROOT / "README.zh-CN.md").read_text()
    assert [word for word in ("数据块", "标签的含义", "解释标签", "耐心", "谎言") if word in text] == []


def _shown(path: Path) -> dict[str, object]:
    text = path.read_text()
    blocks = [
        (block.language, [line.partition(" # ")[0].strip() for line in block.text.splitlines()]) for block in fenced() if block.path == path
    ]
    bare = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {
        "blocks": blocks,
        "sections": len(re.findall(r"^## ", bare, re.MULTILINE)),
        "rows": len(re.findall(r"^\|", bare, re.MULTILINE)),
        "links": sorted(link for link in re.findall(r"\]\(([^)]+)\)", bare) if not link.startswith("README")),
        "commands": sorted(block.text for block in commands() if block.path == path and not block.text.startswith("make run")),
    }
