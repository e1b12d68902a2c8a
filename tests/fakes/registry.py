"""A whole OCI registry to pull from, on loopback: what it holds, whom it lets in, and how it can be made to misbehave.

async with FakeRegistry(auth="anonymous") as registry:
    manifest = registry.add_image("library/nginx", "1.27", [b"layer"])
    registry.misbehave(on("GET", "/blobs/"), Cut(3), times=1)
    ...
    assert registry.count("GET", "blobs") == 2
"""

import ssl

from regproxy.oci.digest import Digest, InvalidDigest
from tests.fakes.entry import Entry
from tests.fakes.guard import Auth, Guard
from tests.fakes.library import OCI_INDEX, Library, StoredRepository
from tests.fakes.reply import Reply, error_reply, json_reply
from tests.fakes.server import FakeServer
from tests.fakes.tag_orders import BadQueryError, Order

_OCTETS = "application/octet-stream"


class FakeRegistry(FakeServer, Library, Guard):
    """Answers as distribution-spec says, until told otherwise."""

    def __init__(
        self,
        auth: Auth = None,
        *,
        username: str = "user",
        password: str = "canary-password",
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        FakeServer.__init__(self, address=address, tls=tls)
        Library.__init__(self)
        Guard.__init__(self, auth, username, password)
        self.paginates = True  # else n and last are ignored and all tags are listed
        self.page_size: int | None = None  # for lists that are asked for without n
        self.order = Order()
        self.link_origin = ""  # of the Links in lists
        self.has_referrers = True

    def refusal(self, entry: Entry) -> Reply | None:
        is_open = entry.kind == "token" or entry.path in self.files
        return None if is_open else self.challenged(entry, f"{self.url}/token")

    def answer(self, entry: Entry) -> Reply:
        if entry.path in self.files:
            return Reply(200, (("Content-Type", _OCTETS), ("Accept-Ranges", "bytes")), self.files[entry.path], has_ranges=True)
        if entry.kind == "token":
            return self.token(entry)
        if entry.method not in {"GET", "HEAD"}:
            return error_reply(405, "UNSUPPORTED")
        if entry.kind == "ping":
            return json_reply({}, headers=(("Docker-Distribution-Api-Version", "registry/2.0"),))
        return self._content(entry)

    def _content(self, entry: Entry) -> Reply:
        if entry.kind == "other":
            return error_reply(404, "UNSUPPORTED")
        if entry.repository not in self.repositories:
            return error_reply(404, "NAME_UNKNOWN")
        stored = self.repositories[entry.repository]
        match entry.kind:
            case "manifests":
                return self._manifest(entry, stored)
            case "blobs":
                return self._blob(entry, stored)
            case "tags":
                return self._tags(entry, stored)
        return self._referrers(entry)

    def _manifest(self, entry: Entry, stored: StoredRepository) -> Reply:
        digest = stored.tags.get(entry.reference) or _digest(entry.reference)
        held = stored.manifests.get(digest) if digest else None
        if digest is None or held is None:
            return error_reply(404, "MANIFEST_UNKNOWN")
        return _stored(entry, digest, held.body, held.media_type)

    def _blob(self, entry: Entry, stored: StoredRepository) -> Reply:
        digest = _digest(entry.reference)
        if digest is None:
            return error_reply(400, "DIGEST_INVALID")
        if digest not in stored.blobs:
            return error_reply(404, "BLOB_UNKNOWN")
        return _stored(entry, digest, stored.blobs[digest], _OCTETS)

    def _tags(self, entry: Entry, stored: StoredRepository) -> Reply:
        tags = self.order.ordered(list(stored.tags))
        if not self.paginates:
            return json_reply({"name": entry.repository, "tags": tags})
        query = dict(entry.query)
        if self.page_size is not None:
            query.setdefault("n", [str(self.page_size)])
        try:
            page, following = self.order.page(list(stored.tags), query)
        except BadQueryError as error:
            return error_reply(error.status, "UNSUPPORTED")
        target = f"{self.link_origin}/v2/{entry.repository}/tags/list?{following}"
        headers = (("Link", f'<{target}>; rel="next"'),) if following is not None else ()
        return json_reply({"name": entry.repository, "tags": page}, headers=headers)

    def _referrers(self, entry: Entry) -> Reply:
        if not self.has_referrers:
            return error_reply(404, "UNSUPPORTED")
        found = self.referrers(entry.repository, entry.reference)
        headers: tuple[tuple[str, str], ...] = (("Content-Type", OCI_INDEX),)
        if wanted := entry.query.get("artifactType"):
            found = [referrer for referrer in found if referrer.get("artifactType") in wanted]
            headers += (("OCI-Filters-Applied", "artifactType"),)
        reply = json_reply({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found})
        return Reply(reply.status, headers, reply.body)


def _stored(entry: Entry, digest: Digest, body: bytes, media_type: str) -> Reply:
    named = (("Docker-Content-Digest", str(digest)), ("ETag", f'"{digest}"'))
    if f'"{digest}"' in entry.headers.get("if-none-match", ""):
        return Reply(304, named)
    return Reply(200, (("Content-Type", media_type), ("Accept-Ranges", "bytes"), *named), body, has_ranges=True)


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except InvalidDigest:
        return None
