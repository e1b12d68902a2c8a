"""Asking one host for a manifest, and what its response proves."""

from functools import partial

import aiohttp

from regproxy import large
from regproxy.oci.digest import Digest, DigestMismatch, InvalidDigest
from regproxy.oci.document import TooManyValues, parse_json
from regproxy.oci.manifest import ACCEPT, LIMIT, InvalidManifest, Manifest
from regproxy.oci.reference import Reference
from regproxy.policy.routing import Host
from regproxy.ports import Answer, Corrupt, InvalidContent, Unavailable, UnexpectedResponse
from regproxy.telemetry import metrics
from regproxy.upstream.connections import Pool
from regproxy.upstream.documents import read_body
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest


async def head_manifest(client: HostClient, reference: Reference, connect: float | None = None) -> Digest | None:
    """Ask for the digest alone; a refusal may be of the method, so it is no answer."""
    try:
        async with client.ask(_request("HEAD", reference, connect)) as response:
            return _claimed_digest(response) if response.status == 200 else None
    except Answer:
        return None


async def find_digest(client: HostClient, reference: Reference) -> Digest:
    """Ask for the digest, and for the manifest where that is not told, or for the reason of a failure, which takes a body."""
    try:
        found = await head_manifest(client, reference)
    except Unavailable as error:
        if error.answered:
            await get_manifest(client, reference)
        raise
    return found or (await get_manifest(client, reference)).descriptor.digest


async def get_manifest(client: HostClient, reference: Reference) -> Manifest:
    """Get a manifest and verify it; raise `UpstreamError`."""
    too_large = partial(InvalidContent, unverified=isinstance(reference.target, Digest))
    async with (
        client.ask(_request("GET", reference)) as response,
        read_body(client, response, LIMIT, "a manifest", too_large) as body,
    ):
        claimed = _claimed_digest(response)
        return await large.parsed(len(body), lambda: _verified(client.host, reference, body, claimed))


def _claimed_digest(response: aiohttp.ClientResponse) -> Digest | None:
    try:
        return Digest.parse(response.headers.get("Docker-Content-Digest", "").strip('"'))
    except InvalidDigest:
        return None


def _named_otherwise(claimed: Digest | None) -> Digest | None:
    """Return the digest that upstream names a tag's manifest by, where that is not the usual sha256: it may know it by no other."""
    return claimed if claimed is not None and claimed.algorithm != "sha256" else None


def _request(method: str, reference: Reference, connect: float | None = None) -> HostRequest:
    return HostRequest(
        method,
        reference.repository.name,
        f"manifests/{reference.target}",
        Pool.MANIFEST,
        {"Accept": ACCEPT},
        connect=connect,
        is_verified=method == "GET" and isinstance(reference.target, Digest),
    )


def _verified(host: Host, reference: Reference, body: bytes, claimed: Digest | None) -> Manifest:
    """Make a manifest of what *host* sent; raise `UpstreamError` that says whose fault it is where that is none.

    What matches its digest is its author's, and so is JSON that the host of a tag sent; *claimed* is the digest that came with it.
    """
    expected = reference.target if isinstance(reference.target, Digest) else None
    try:
        return Manifest.verify(body, expected or _named_otherwise(claimed))
    except DigestMismatch as error:
        metrics.CORRUPT.inc()
        raise Corrupt(f"{host} sent wrong bytes for {reference}: {error}") from error
    except InvalidManifest as error:
        if expected is None and not _is_authors(body, claimed):
            raise UnexpectedResponse(f"{host} sent something else than a manifest for {reference}: {error}") from error
        raise InvalidContent(f"{reference} is no manifest that can be served, which is its author's fault: {error}") from error


def _is_authors(body: bytes, claimed: Digest | None) -> bool:
    """Return what a registry was given as a manifest from a web page, and from one that was cut on its way."""
    if not body.lstrip().startswith(b"{"):
        return False
    if claimed is not None and claimed == Digest.of(body, claimed.algorithm):
        return True
    try:
        return isinstance(parse_json(body), dict)
    except TooManyValues:
        return True
    except ValueError:
        return False
