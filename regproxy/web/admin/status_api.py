"""What the admin page shows beside metrics: history since the start, downloads in progress, and what its reader may do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

from aiohttp import web

from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.policy.clients.admin_roles import Need
from regproxy.ports import DownloadStatus
from regproxy.telemetry.history import History
from regproxy.web.admin.gate import HOLDER, refusal_of


def add_status_api(app: web.Application, access: AdminAccess, history: History, downloads: Callable[[], Sequence[DownloadStatus]]) -> None:
    """Add `/api/v1/history`, `/api/v1/downloads` and `/api/v1/access` to the admin application."""

    async def sampled(request: web.Request) -> web.Response:
        return web.json_response(history.document(since_start=request.query.get("range") != "recent"))

    async def in_progress(_: web.Request) -> web.Response:
        return web.json_response({"downloads": [asdict(each) for each in merged(downloads())]})

    async def allowed(request: web.Request) -> web.Response:
        unread, unchanged = (refusal_of(need, access, request) for need in (Need.READS, Need.CHANGES))
        holder = request.get(HOLDER)
        return web.json_response(
            {
                "may_read": unread is None,
                "may_change": unchanged is None,
                "reason": unread or unchanged,
                "name": None if holder is None else holder.name,
                "takes_tokens": bool(access.tokens),
            }
        )

    app.router.add_get("/api/v1/history", sampled)
    app.router.add_get("/api/v1/downloads", in_progress)
    app.router.add_get("/api/v1/access", allowed)


def merged(downloads: Iterable[DownloadStatus]) -> list[DownloadStatus]:
    """Make one of all downloads of a blob from the same registry: workers share what one of them fetches, and each lists it."""
    found: dict[tuple[str, str], DownloadStatus] = {}
    for each in downloads:
        key = each.repository.partition("/")[0], each.digest
        one = found.get(key)
        found[key] = each if one is None else _both(one, each)
    return list(found.values())


def _both(one: DownloadStatus, other: DownloadStatus) -> DownloadStatus:
    first = one if one.seconds >= other.seconds else other
    size = one.size if one.size is not None else other.size
    return replace(first, written=max(one.written, other.written), size=size, followers=one.followers + other.followers)
