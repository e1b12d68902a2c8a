"""What a request asks for beside its endpoint: its host, ranges of a blob, the page of a list."""

import json

from aiohttp import web

from regproxy import large
from regproxy.clients.questions import Pull
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.endpoint import BlobPull, ManifestPull, ReferrerList, TagList
from regproxy.oci.http import byterange
from regproxy.oci.http.via import Hops, parse_via
from regproxy.policy.paging import Cursor, InvalidCursor
from regproxy.policy.routing import Route

_MOST_HOPS = 8  # caches in a row; runtime, node, cluster and site are four
_MAX_TAGS = 10_000  # a page; distribution CVE-2023-2253 is a server that allocates what a client asks for


def path_of(request: web.BaseRequest) -> str:
    """Return the path as the client wrote it, also from an absolute form."""
    target = request.raw_path.partition("?")[0]
    return target if target.startswith("/") else "/" + target.partition("://")[2].partition("/")[2]


def host_of(request: web.BaseRequest) -> str:
    """Return the host that is asked for: an absolute form overrides the header (RFC 9112, 3.2.2)."""
    target = request.raw_path.partition("?")[0]
    return request.headers.get("Host", "") if target.startswith("/") else target.partition("://")[2].partition("/")[0]


def wanted_parts(request: web.BaseRequest, digest: Digest) -> str | None:
    """Read what parts may be answered without having the blob: those on no condition."""
    return None if "If-None-Match" in request.headers else _range(request, digest)


def may_redirect(request: web.BaseRequest) -> bool:
    """Report whether all of a blob is asked for, on no condition: only that may be got elsewhere."""
    return "Range" not in request.headers and "If-None-Match" not in request.headers


def hops_of(request: web.BaseRequest, name: str) -> Hops:
    """Return which caches have asked on the way here; raise `RegistryError` where we, who are called *name*, were one of them."""
    hops = parse_via(request.headers.getall("Via", ()))
    if name in hops or len(hops) >= _MOST_HOPS:
        raise errors.loop_detected(f"caches ask each other in a circle: this question came through {', '.join(hops)}")
    return hops


def _range(request: web.BaseRequest, digest: Digest) -> str | None:
    """Return `Range`, unless `If-Range` names another representation (RFC 9110, 13.1.5)."""
    wanted = request.headers.get("Range")
    if wanted is None or request.headers.get("If-Range", f'"{digest}"').strip() != f'"{digest}"':
        return None
    return wanted


async def byte_ranges(request: web.BaseRequest, digest: Digest, size: int) -> list[byterange.ByteRange]:
    wanted = _range(request, digest)
    if wanted is None:
        return []
    try:
        return await large.parsed(len(wanted) * byterange.WEIGHT, lambda: byterange.parse(wanted, size))
    except byterange.UnsatisfiableRange as error:
        raise errors.range_invalid(str(error), size) from error


def warning(text: str) -> str:
    """Write a Warning as distribution-spec has it."""
    return f"299 - {json.dumps(text)}"


def cursor(text: str | None) -> Cursor | None:
    try:
        return Cursor.decode(text) if text is not None else None
    except InvalidCursor as error:
        raise errors.RegistryError("PAGINATION_NUMBER_INVALID", 400, f"cursor is {error}: list the tags anew") from error


def page_size(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise errors.RegistryError("PAGINATION_NUMBER_INVALID", 400, "n is not a number")
    return min(int(text[:18]), _MAX_TAGS)


def name_of(route: Route, endpoint: Pull) -> str:
    """Name what is asked for, however it is written, in a bounded number of bytes."""
    match endpoint:
        case ManifestPull(target=target):
            return f"manifest {route.repository} {target}"
        case BlobPull(digest=digest):
            return f"blob {route.repository} {digest}"
        case ReferrerList(digest=digest):
            return f"referrers {route.repository} {digest}"
        case TagList():
            return f"tags {route.repository}"
