"""Answers that take long: lines of JSON, one a second, how far it is, and in the last one the result, or why there is none."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from regproxy.maintenance.progress import JobProgress
from regproxy.ports import StoreError
from regproxy.web.admin.gate import OUTCOME

_EVERY = 1.0  # seconds


async def told(request: web.Request, work: Callable[[JobProgress], Awaitable[dict[str, object]]]) -> web.StreamResponse:
    """Run *work* and stream its progress; a client that disconnects cancels it. Wrong arguments raise before anything is sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    progress = JobProgress()
    task = asyncio.ensure_future(work(progress))
    try:
        await response.prepare(request)
        while not (await asyncio.wait([task], timeout=_EVERY))[0]:
            await _write(response, {"done": progress.done, "total": progress.total})
        outcome = _outcome(task)
        request[OUTCOME] = f"failed: {outcome['error']}" if "error" in outcome else "done"
        await _write(response, outcome)
    except ConnectionError:
        request.setdefault(OUTCOME, "client left")  # an operator who has seen enough is no error of ours
    finally:
        task.cancel()
    return response


def _outcome(task: asyncio.Future[dict[str, object]]) -> dict[str, object]:
    try:
        return {"result": task.result()}
    except (StoreError, ValueError, LookupError) as error:
        return {"error": str(error)}


async def _write(response: web.StreamResponse, line: dict[str, object]) -> None:
    await response.write(json.dumps(line).encode() + b"\n")
