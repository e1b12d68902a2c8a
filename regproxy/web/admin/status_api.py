"""What the admin page shows beside metrics: history since the start, downloads in progress, and whether its reader may change anything."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from aiohttp import web

from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.ports import DownloadStatus
from regproxy.telemetry.history import History
from regproxy.web.admin.gate import refusal_of_changes


def add_status_api(app: web.Application, access: AdminAccess, history: History, downloads: Callable[[], Sequence[DownloadStatus]]) -> None:
    """Add `/api/v1/history`, `/api/v1/downloads` and `/api/v1/access` to the admin application."""

    async def sampled(request: web.Request) -> web.Response:
        return web.json_response(history.document(since_start=request.query.get("range") != "recent"))

    async def in_progress(_: web.Request) -> web.Response:
        return web.json_response({"downloads": [asdict(each) for each in downloads()]})

    async def allowed(request: web.Request) -> web.Response:
        refusal = refusal_of_changes(access, request)
        return web.json_response({"may_change": refusal is None, "reason": refusal})

    app.router.add_get("/api/v1/history", sampled)
    app.router.add_get("/api/v1/downloads", in_progress)
    app.router.add_get("/api/v1/access", allowed)
