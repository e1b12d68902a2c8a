"""Images that cosign signed, or did not, as crane, containerd and cosign itself get them from a regproxy that requires signatures."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from .conftest import Folders
from .containerd import Containerd, write_hosts
from .distribution import Distribution
from .fetch import ask
from .go_programs import go_program
from .processes import run
from .server import Server

NAME = "registry.test"
PASSWORD = {"COSIGN_PASSWORD": "no secret"}
OFFLINE = ("--yes", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry")  # there is no transparency log here


@dataclass(frozen=True, slots=True)
class Signing:
    """A registry to push to, and two signers of whom one is trusted."""

    origin: Distribution
    keys: Path

    def push(self, image: str) -> str:
        """Push an image of its own content; return its digest."""
        layer = self.keys / "layer.tar"
        with tarfile.open(layer, "w") as tar:
            info = tarfile.TarInfo(image.replace(":", "-"))
            info.size = len(image)
            tar.addfile(info, BytesIO(image.encode()))
        run([go_program("crane"), "append", "--insecure", "--oci-empty-base", "-f", layer, "-t", f"{self.origin.authority}/{image}"])
        return self.digest(image)

    def digest(self, image: str) -> str:
        return run([go_program("crane"), "digest", "--insecure", f"{self.origin.authority}/{image}"]).strip()

    def sign(self, image: str, digest: str, *more: str, key: str = "ours") -> None:
        target = f"{self.origin.authority}/{image.partition(':')[0]}@{digest}"
        run([go_program("cosign"), "sign", "--key", self.keys / f"{key}.key", *OFFLINE, *more, target], PASSWORD)


@pytest.fixture(scope="module")
def signing(folder: Folders) -> Iterator[Signing]:
    keys = folder("signing")
    for name in ("ours", "theirs"):
        run([go_program("cosign"), "generate-key-pair", "--output-key-prefix", keys / name], PASSWORD)
    origin = Distribution(keys / "registry")
    origin.start()
    yield Signing(origin, keys)
    origin.stop()


@pytest.fixture(scope="module")
def server(folder: Folders, signing: Signing) -> Iterator[Server]:
    require = [{"match": "*", "keys": [str(signing.keys / "ours.pub")]}]
    tags = [{"match": "*", "fresh_for": "0s"}]
    server = Server(folder("signed-cache"), {NAME: {"hosts": [{"url": signing.origin.url}], "require": require, "tags": tags}})
    server.start()
    yield server
    server.stop()


def pull(server: Server, image: str, folder: Path) -> None:
    """Pull by crane; raise RuntimeError with what it said."""
    source = f"{server.authority}/{NAME}/{image}"
    run([go_program("crane"), "pull", "--insecure", "--format=oci", source, folder])


def refusal(server: Server, image: str, folder: Path) -> str:
    with pytest.raises(RuntimeError) as caught:
        pull(server, image, folder)
    return str(caught.value)


@pytest.mark.parametrize("is_bundle", [True, False])
def test_n18_25_what_cosign_signed_is_pulled_and_verified_by_cosign_through_the_cache(
    signing: Signing, server: Server, tmp_path: Path, is_bundle: bool
) -> None:
    image, form = f"app/{is_bundle}:1".lower(), f"--new-bundle-format={is_bundle}".lower()
    signing.sign(image, signing.push(image), form)
    pull(server, image, tmp_path)
    key: list[str | Path] = ["--key", signing.keys / "ours.pub", "--insecure-ignore-tlog", "--allow-http-registry", form]
    run([go_program("cosign"), "verify", *key, f"{server.authority}/{NAME}/{image}"])


def test_n18_25_an_index_is_signed_with_its_images_and_not_by_them(signing: Signing, server: Server, tmp_path: Path) -> None:
    for name in ("multi", "parts"):
        parts = [signing.push(f"{name}/app:{number}") for number in "12"]
        words = [word for part in parts for word in ("-m", f"{signing.origin.authority}/{name}/app@{part}")]
        run([go_program("crane"), "index", "append", "--insecure", *words, "-t", f"{signing.origin.authority}/{name}/app:all"])
        for digest in [signing.digest("multi/app:all")] if name == "multi" else parts:
            signing.sign(f"{name}/app", digest)
    pull(server, "multi/app:all", tmp_path / "index")
    pull(server, f"multi/app@{signing.digest('multi/app:2')}", tmp_path / "image")
    assert "not signed as configured" in refusal(server, "parts/app:all", tmp_path)


def test_n18_25_what_is_not_signed_or_not_by_ours_or_not_this_is_refused(signing: Signing, server: Server, tmp_path: Path) -> None:
    signing.push("refused/plain:1")
    signing.sign("refused/theirs:1", signing.push("refused/theirs:1"), key="theirs")
    assert "found: no signature" in refusal(server, "refused/plain:1", tmp_path)
    assert "found: a signature by another key" in refusal(server, "refused/theirs:1", tmp_path)
    right, other = signing.push("refused/moved:1"), signing.push("refused/moved:2")
    signing.sign("refused/moved:1", right, "--new-bundle-format=false")
    tags = [f"{signing.origin.authority}/refused/moved:{digest.replace(':', '-')}.sig" for digest in (right, other)]
    run([go_program("crane"), "copy", "--insecure", *tags])
    assert f"found: a signature of another digest, {right}" in refusal(server, "refused/moved:2", tmp_path)


def test_n18_25_containerd_pulls_what_is_signed_alone(signing: Signing, server: Server, containerd_2: Containerd, folder: Folders) -> None:
    hosts = write_hosts(folder("signed-hosts"), NAME, server.url)
    signing.push("node/plain:1")
    signing.sign("node/signed:1", signing.push("node/signed:1"))
    containerd_2.ctr("content", "fetch", "--hosts-dir", hosts, f"{NAME}/node/signed:1")
    for target in ("node/plain:1", f"node/plain@{signing.digest('node/plain:1')}"):
        with pytest.raises(RuntimeError, match="403"):
            containerd_2.ctr("content", "fetch", "--hosts-dir", hosts, f"{NAME}/{target}")


def test_n18_25_what_was_verified_is_served_without_upstream_and_by_another_key_nobody_can_tell(
    signing: Signing, server: Server, tmp_path: Path
) -> None:
    signing.sign("down/app:1", signing.push("down/app:1"))
    pull(server, "down/app:1", tmp_path / "seen")
    ours = signing.keys / "ours.pub"
    text = ours.read_bytes()
    signing.origin.stop()
    try:
        pull(server, "down/app:1", tmp_path / "again")
        ours.write_bytes((signing.keys / "theirs.pub").read_bytes())
        path = f"{server.url}/v2/down/app/manifests/1?ns={NAME}"
        while (found := ask("GET", path)).status == 200:
            pass  # each look is a whole request
        assert (found.status, b"cannot be verified: upstream does not give it" in found.body) == (503, True)
    finally:
        ours.write_bytes(text)
        signing.origin.start()
