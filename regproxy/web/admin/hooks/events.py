"""`POST /hooks/SOURCE`: a registry says that something was pushed."""

from collections import Counter

from aiohttp import web

from regproxy.policy.hooks.sources import Source
from regproxy.telemetry import metrics
from regproxy.warming.hooks import Hooks
from regproxy.warming.looks import Queued
from regproxy.web.admin.gate import error
from regproxy.web.admin.hooks.reception import NotTaken, Reception

_SOURCES = {each.value: each for each in Source}
_FULL = "too many tags wait to be looked at: hooks.rate says how fast they are"


def add_hook_events(app: web.Application, hooks: Hooks, reception: Reception) -> None:
    """Add `/hooks/SOURCE`, and the same with a secret behind it, to the admin application."""

    async def posted(request: web.Request) -> web.StreamResponse:
        source = _SOURCES.get(request.match_info["source"])
        receivers = hooks.receivers(source) if source is not None else ()
        if source is None or not receivers:
            return error(404, "no hook of this source is configured")
        in_url = filter(None, [request.match_info.get("secret")])
        try:
            receiver, body = await reception.received(request, receivers, *in_url)
            events = reception.events(source, request, body)
        except NotTaken as refused:
            return reception.refusal(source, request, refused)
        results = Counter([await receiver.take(event) for event in events])
        full = results.pop(Queued.THROTTLED, 0)
        for result, count in results.items():
            metrics.HOOK_EVENTS.labels(source.value, result).inc(count)
        if full:
            return reception.refusal(source, request, NotTaken(429, Queued.THROTTLED, _FULL), full)
        return web.json_response(results, status=202)

    app.router.add_post("/hooks/{source}", posted)
    app.router.add_post("/hooks/{source}/{secret}", posted)
