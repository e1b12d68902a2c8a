"""What an operator is told about a pull that works, or does not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from regproxy.cli import app
from tests.fakes.deeds import Deed, Drop, Headers, Hold, Redirect, Status
from tests.fakes.registry import FakeRegistry
from tests.pull.trust.signed import key_file, rules, sign_by_bundle
from tests.rig import Rig, rig
from tests.trust.signing import Signer

NAME = "library/app"
PASSWORD = "canary-explained-91be"


async def explained(proxy: Rig, image: str = "docker.io/library/app:1") -> dict[str, Any]:
    status, document = await proxy.admin(f"explain?image={image}")
    assert status == 200
    assert isinstance(document, dict)
    return document


def said(document: dict[str, Any], about: str) -> list[str]:
    return [step["found"] for step in document["steps"] if step["about"].startswith(about)]


async def ran(proxy: Rig, *arguments: str) -> Result:
    command = ["explain", *arguments, "--admin", f"http://127.0.0.1:{proxy.admin_port}"]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


async def test_a_pull_that_works_is_walked_from_routing_to_host(tmp_path: Path) -> None:
    async with FakeRegistry("password", password=PASSWORD) as upstream:
        image = upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave("/manifests/", Headers({"ratelimit-limit": "100;w=60", "ratelimit-remaining": "42;w=60"}))
        host = {"url": upstream.url, "credentials": {"username": "user", "password": PASSWORD}}
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [host]}}) as proxy:
            document = await explained(proxy, "app:1")
        host_name, service = upstream.host, f"{upstream.url}/token"
    assert (document["image"], document["outcome"]) == ("docker.io/library/app:1", "it can be pulled")
    assert said(document, "upstream") == [f"docker.io, served by {host_name}"]
    assert said(document, "cache") == ["not cached"]
    assert said(document, "policy")[0].endswith("not cached: upstream is asked")
    who, quota, answer = said(document, "host")
    assert who == f"asked as password of user 'user' of the configuration, token from {service}"
    assert quota == "42 of 100 pulls left"
    assert answer.startswith(f"says {image.digest}, after ")
    assert PASSWORD not in json.dumps(document)


async def test_explaining_changes_nothing(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    for _ in range(2):
        assert said(await explained(proxy), "cache") == ["not cached"]
    assert {entry.method for entry in upstream.ledger} == {"HEAD"}


async def test_what_is_cached_is_told_with_its_age(upstream: FakeRegistry, proxy: Rig) -> None:
    image = upstream.add_image(NAME, "1", [b"layer"])
    await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")
    await upstream.stop()
    document = await explained(proxy)
    assert said(document, "cache")[0].startswith(f"{image.digest}, checked ")
    assert document["outcome"].startswith("it can be pulled from the cache")
    assert said(await explained(proxy, f"docker.io/library/app@{image.digest}"), "cache") == ["the manifest is here"]


async def test_a_freeze_is_told_with_how_to_lift_it(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    await proxy.admin("freezes", "POST", {"pattern": "docker.io/library/*"})
    (step,) = [step for step in (await explained(proxy))["steps"] if step["about"] == "policy"]
    assert step["advice"] == "regproxy unfreeze 'docker.io/library/*'"


FAILURES = [
    pytest.param(Status(404), "missing image", id="404"),
    pytest.param(Status(403), "authentication", id="403"),
    pytest.param(Status(401), "authentication", id="401"),
    pytest.param(Status(429), "rate limit", id="429"),
    pytest.param(Status(500), "network", id="500"),
    pytest.param(Drop(), "network", id="cut"),
    pytest.param(Hold(), "timeout", id="silent"),
    pytest.param(Redirect("http://169.254.169.254/"), "wrong answer", id="sent astray"),
]


@pytest.mark.parametrize(("deed", "term"), FAILURES)
async def test_a_failure_is_named_as_kubelet_names_it_with_what_to_do(upstream: FakeRegistry, proxy: Rig, deed: Deed, term: str) -> None:
    upstream.misbehave("/manifests/", deed)
    document = await explained(proxy)
    assert document["outcome"].startswith("it cannot be pulled: ")
    assert term in document["outcome"]
    (step,) = [step for step in document["steps"] if step["mark"] == "bad"]
    assert step["advice"]


@pytest.mark.parametrize("deny", ["*:1", "library/app"])
async def test_what_is_denied_is_not_asked_for(upstream: FakeRegistry, tmp_path: Path, deny: str) -> None:
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "deny": [deny]}}) as proxy:
        assert (await explained(proxy))["outcome"] == "ErrImagePull: denied by configuration (403)"
    assert upstream.ledger == []


async def test_a_terminal_gets_lines_and_a_program_gets_json(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.misbehave("/manifests/", Status(404))
    plain, structured = await ran(proxy, "docker.io/app:1"), await ran(proxy, "docker.io/app:1", "--json")
    assert plain.stdout.startswith("docker.io/library/app:1\nok   upstream")
    assert "-> check the name and the tag" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert json.loads(structured.stdout)["outcome"] == "it cannot be pulled: ErrImagePull, missing image"


async def test_s27_what_upstream_says_cannot_paint_the_terminal(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.misbehave("/manifests/", Status(401, {"WWW-Authenticate": 'Bearer realm="http://x/\x9b31m[red]",service="s"'}))
    told = (await ran(proxy, "docker.io/app:1")).stdout
    assert ("[red]" in told, "\x9b" in told) == (True, False)


@pytest.mark.parametrize("image", ["", "nowhere.io/a:1", "docker.io/UPPER:1", "docker.io/a:b:c", "docker.io/a@md5:1"])
async def test_what_is_no_image_is_told_in_a_line(proxy: Rig, image: str) -> None:
    result = await ran(proxy, image)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


async def test_n13_06_the_exit_status_says_whether_it_can_be_pulled(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    assert (await ran(proxy, "app:1")).exit_code == 0
    for arguments in (["app:none"], ["app:none", "--json"]):
        assert (await ran(proxy, *arguments)).exit_code == 1


async def test_n13_06_freezes_take_short_names_and_say_what_is_not_known(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_image(NAME, "1", [b"layer"]).digest
    await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")

    async def frozen(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--admin", f"http://127.0.0.1:{proxy.admin_port}"])

    assert (await frozen("freeze", "app:1")).stdout == f"frozen docker.io/library/app:1: {digest}\n"
    assert (await frozen("freeze", "app:2")).stdout == (
        "frozen docker.io/library/app:2: not known here yet: it will be held to what its first pull finds\n"
    )
    assert (await frozen("unfreeze", "app:2")).stdout == "unfrozen app:2: upstream says again what it means\n"
    assert (await frozen("unfreeze", "app:2")).exit_code == 1


async def test_n18_24_an_explanation_says_which_signature_is_demanded_and_what_was_found(upstream: FakeRegistry, tmp_path: Path) -> None:
    signer = Signer()
    key = key_file(tmp_path, signer)
    upstream.add_image(NAME, "1", [b"plain"])
    signed = upstream.add_image(NAME, "2", [b"signed"])
    sign_by_bundle(upstream, signed.digest, signer)
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        before = await explained(proxy)
        for tag in "12":
            await proxy.ask(f"/v2/{NAME}/manifests/{tag}")
        documents = [await explained(proxy), await explained(proxy, "docker.io/library/app:2")]
    async with rig(tmp_path / "store", rules(upstream, key, mode="warn")) as proxy:
        warned = await explained(proxy)
    demanded = f"demanded is a signature by one of {key}; "
    assert said(before, "signature") == [f"{demanded}it is looked for when the manifest is here"]
    assert said(documents[0], "signature") == said(warned, "signature") == [f"{demanded}found: no signature"]
    assert said(documents[1], "signature") == [f"signed by {signer.keys[0]}"]
    assert [each["can_be_pulled"] for each in (*documents, warned)] == [False, True, True]
    assert documents[0]["outcome"].startswith("ErrImagePull: not signed as configured")
