"""Pull an image through regproxy as a runtime does: every blob is read and compared with its digest. Standard library only."""

import argparse
import base64
import hashlib
import json
import platform
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_HUB = ("docker.io", "index.docker.io")  # docker login writes it as https://index.docker.io/v1/
_PIECE = 1 << 20
_TIMEOUT = 120.0  # seconds without a byte
_MAX_TOLD = 2000  # bytes of what the cache says to an error


class Cache:
    """A regproxy at *endpoint*, asked with a user and password as `USER:PASSWORD`, or without.

    With *certificate*, the file of its certificate, nobody else is asked. Without it, whoever answers is: whether content is right is told
    by its digest.
    """

    def __init__(self, endpoint: str, login: str | None, certificate: Path | None) -> None:
        self._endpoint, self._login, self._token = endpoint, login, ""
        context = ssl.create_default_context()
        context.check_hostname = False  # it is for the name by which nodes reach the cache
        if certificate is None:
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(certificate)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is no authority's
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def opened(self, path: str) -> Any:  # noqa: ANN401  a response of urllib
        """Open what is at *path*, with a token where one is wanted; raise SystemExit, which says why, where that fails."""
        try:
            return self._opened(path)
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or not challenge.startswith("Bearer "):
                raise SystemExit(self._refused(path, error)) from None
        self._token = self._asked_token(dict(re.findall(r'(\w+)="([^"]*)"', challenge)))
        try:
            return self._opened(path)
        except urllib.error.HTTPError as error:
            raise SystemExit(self._refused(path, error)) from None

    def _opened(self, path: str) -> Any:  # noqa: ANN401
        headers = {"Accept": ", ".join(_INDEXES + _MANIFESTS)}
        return self._open(f"{self._endpoint}{path}", headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {}))

    def _asked_token(self, challenge: dict[str, str]) -> str:
        """Ask for a token as the challenge says (distribution, token authentication)."""
        realm = challenge.pop("realm", "")
        headers = {"Authorization": f"Basic {base64.b64encode(self._login.encode()).decode()}"} if self._login else {}
        try:
            with self._open(f"{realm}?{urllib.parse.urlencode(challenge)}", headers) as response:
                return str(json.load(response)["token"])
        except urllib.error.HTTPError as error:
            raise SystemExit(self._refused(realm, error)) from None

    def _open(self, url: str, headers: dict[str, str]) -> Any:  # noqa: ANN401
        try:
            return self._opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            raise SystemExit(f"{url.partition('?')[0]} does not answer: {error.reason}") from None

    def _refused(self, what: str, error: urllib.error.HTTPError) -> str:
        said = f"{what.partition('?')[0]}: {error.code} from {self._endpoint}: {error.read(_MAX_TOLD).decode(errors='replace')}"
        if error.code != 401:
            return said
        advice = (
            "is not accepted" if self._login else "is missing: name a Secret of type kubernetes.io/dockerconfigjson by test.existingSecret"
        )
        return f"{said}\nregproxy answers, and wants to know who asks; the credential of the test {advice}"


def pull(cache: Cache, image: str) -> tuple[int, int]:
    """Return how many blobs the image has for this platform, and how many bytes; raise ValueError where one is wrong."""
    registry, name, tag = parts(image)

    def opened(kind: str, target: str) -> Any:  # noqa: ANN401
        return cache.opened(f"/v2/{name}/{kind}/{target}?ns={registry}")

    with opened("manifests", tag) as response:
        manifest = json.load(response)
    if "manifests" in manifest:
        machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
        digest = next(each["digest"] for each in manifest["manifests"] if each.get("platform", {}).get("architecture") == machine)
        with opened("manifests", digest) as response:
            body = response.read()
        _check(digest, hashlib.sha256(body).hexdigest())
        manifest = json.loads(body)
    total = 0
    blobs = [manifest["config"], *manifest["layers"]]
    for blob in blobs:
        digest, hashed = blob["digest"], hashlib.sha256()
        with opened("blobs", digest) as response:
            while piece := response.read(_PIECE):
                hashed.update(piece)
                total += len(piece)
        _check(digest, hashed.hexdigest())
    return len(blobs), total


def parts(image: str) -> tuple[str, str, str]:
    registry, _, rest = image.partition("/")
    name, _, tag = rest.rpartition(":")
    return registry, name, tag


def login(path: Path, registry: str, endpoint: str) -> str:
    """Return `USER:PASSWORD` from a Docker configuration: for *registry*, as kubelet takes it, else for *endpoint*, else the only one."""
    known = {_host(name): entry for name, entry in json.loads(path.read_text())["auths"].items()}
    wanted = [*(_HUB if registry in _HUB else [registry]), _host(endpoint), *(known if len(known) == 1 else [])]
    entry = next((known[name] for name in wanted if name in known), None)
    if entry is None:
        raise SystemExit(
            f"the Secret of test.existingSecret is for {', '.join(known)}, and neither for {registry} nor for {_host(endpoint)}"
        )
    return base64.b64decode(entry["auth"]).decode() if entry.get("auth") else f"{entry['username']}:{entry['password']}"


def _host(name: str) -> str:
    return name.rpartition("://")[2].partition("/")[0]


def _check(digest: str, found: str) -> None:
    if digest != f"sha256:{found}":
        raise ValueError(f"{digest} was asked for, and what came is sha256:{found}")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("image")
    parser.add_argument("--docker-config", type=Path, help="a file with credentials, as docker login writes it")
    parser.add_argument("--certificate", type=Path, help="of the cache: no other is taken")
    given = parser.parse_args()
    found = login(given.docker_config, parts(given.image)[0], given.endpoint) if given.docker_config else None
    count, size = pull(Cache(given.endpoint, found, given.certificate), given.image)
    who = f" as {found.partition(':')[0]}" if found else ""
    print(f"pulled {given.image} by {given.endpoint}{who}: {count} blobs, {size} bytes, all as their digests say")  # noqa: T201


if __name__ == "__main__":
    _main()
