"""The paths of Kraken and Dragonfly that Harbor's preheat drivers call, answered as these would be (src/pkg/p2p/preheat/provider)."""

from datetime import UTC, datetime
from http import HTTPStatus
from socket import gethostname
from typing import Any

from aiohttp import web

from regproxy.oci.errors import RegistryError
from regproxy.policy.hooks.event import InvalidEvent
from regproxy.policy.hooks.preheat import preheat
from regproxy.policy.hooks.sources import Source
from regproxy.ports import StoreError
from regproxy.telemetry import metrics
from regproxy.warming.hooks import Hooks
from regproxy.warming.job import State, WarmJob
from regproxy.warming.jobs import TooManyJobs
from regproxy.warming.looks import Queued
from regproxy.warming.preheat import Preheater
from regproxy.web.admin.gate import error
from regproxy.web.admin.hooks.reception import NotTaken, Reception

_BUSY = "too many images are asked for: hooks.rate says how many are taken"
_NUMBER_LENGTH = 10  # digits of a job's number
_STATES = {State.DONE: "SUCCESS", State.FAILED: "FAILURE", State.CANCELLED: "FAILURE"}  # the others are pending


def add_preheat_drivers(app: web.Application, hooks: Hooks, reception: Reception) -> None:
    """Add the paths to the admin application; those of a driver that is not configured answer 404."""

    async def received(source: Source, request: web.Request) -> tuple[Preheater, bytes]:
        if not (found := hooks.preheaters(source)):
            raise web.HTTPNotFound
        return await reception.received(request, found)

    async def kraken_lives(request: web.Request) -> web.StreamResponse:
        await received(Source.KRAKEN, request)
        return web.Response(text="OK")

    async def dragonfly_lives(request: web.Request) -> web.StreamResponse:
        await received(Source.DRAGONFLY, request)
        return web.json_response("OK")

    async def notified(request: web.Request) -> web.StreamResponse:
        preheater, body = await received(Source.KRAKEN, request)
        for event in reception.events(Source.KRAKEN, request, body):
            try:
                result = preheater.gather(event)
            except RegistryError as refused:
                raise _refused(refused) from None
            if result is Queued.THROTTLED:
                raise NotTaken(429, result, _BUSY)
            metrics.HOOK_EVENTS.labels(Source.KRAKEN.value, result.value).inc()
        return web.Response()

    async def begun(request: web.Request) -> web.StreamResponse:
        preheater, body = await received(Source.DRAGONFLY, request)
        try:
            wanted = preheat(body)
            job = await preheater.begin(wanted)
        except InvalidEvent as wrong:
            raise NotTaken(400, "invalid", str(wrong)) from None
        except RegistryError as refused:
            raise _refused(refused) from None
        except (TooManyJobs, StoreError) as failed:
            raise NotTaken(503, "throttled", str(failed)) from None
        if job is None:
            raise NotTaken(429, "throttled", _BUSY)
        metrics.HOOK_EVENTS.labels(Source.DRAGONFLY.value, Queued.QUEUED.value).inc()
        return web.json_response(_written(job))

    async def shown(request: web.Request) -> web.StreamResponse:
        preheater, _ = await received(Source.DRAGONFLY, request)
        number = request.match_info["id"]
        is_number = number.isascii() and number.isdigit() and len(number) < _NUMBER_LENGTH
        job = preheater.job(int(number)) if is_number else None
        return error(404, "there is no such job, or no longer") if job is None else web.json_response(_written(job))

    app.router.add_get("/health", reception.refusing(Source.KRAKEN, kraken_lives))
    app.router.add_post("/registry/notifications", reception.refusing(Source.KRAKEN, notified))
    app.router.add_get("/healthy", reception.refusing(Source.DRAGONFLY, dragonfly_lives))
    app.router.add_post("/oapi/v1/jobs", reception.refusing(Source.DRAGONFLY, begun))
    app.router.add_get("/oapi/v1/jobs/{id}", reception.refusing(Source.DRAGONFLY, shown))


def _refused(refused: RegistryError) -> NotTaken:
    return NotTaken(refused.status, "denied" if refused.status == HTTPStatus.FORBIDDEN else "unknown", refused.message)


def _written(job: WarmJob) -> dict[str, Any]:
    """Write a job as Dragonfly does: of one image, on the one host that we are."""
    image, host = job.images[0], {"hostname": gethostname(), "ip": ""}
    state = _STATES.get(job.state, "PENDING")
    reason = image.reason or ("it was cancelled" if job.is_cancelled else "")
    done = [{"url": image.name, **host}] if state == "SUCCESS" else []
    failed = [{"url": image.name, **host, "description": reason}] if state == "FAILURE" else []
    results = [{"success_tasks": done, "failure_tasks": failed, "scheduler_cluster_id": 0}]
    return {
        "id": job.number,
        "created_at": _time(datetime.fromtimestamp(job.created_at, UTC)),
        "updated_at": _time(datetime.now(UTC)),
        "type": "preheat",
        "state": state,
        "result": {"job_states": [{"state": state, "error": reason if failed else "", "results": results if done or failed else []}]},
    }


def _time(moment: datetime) -> str:
    """Write a moment as Go's JSON reads it (RFC 3339)."""
    return moment.isoformat().replace("+00:00", "Z")
