"""`/api/v1/fleet`: the members of the fleet, and what waits for the object store behind it."""

from typing import Protocol

from aiohttp import web

from regproxy.oci import errors

_MAX_MEMBERS = 20_000
_MAX_DIGITS = 9  # of a number of members


class Fleet(Protocol):
    """The fleet as its operators see it."""

    def document(self, limit: int) -> dict[str, object]: ...


class ObjectStorage(Protocol):
    """The object store as its operators see it."""

    async def status(self) -> dict[str, object]:
        """Describe what waits; raise `StoreError`."""


def add_fleet_api(app: web.Application, fleet: Fleet | None, behind: ObjectStorage | None) -> None:
    """Add `/fleet` to the admin API; there may be no *fleet*, and no object store *behind*."""

    async def shown(request: web.Request) -> web.Response:
        limit = _limit(request.query.get("limit", str(_MAX_MEMBERS)))
        return web.json_response(
            {
                "fleet": None if fleet is None else fleet.document(limit),
                "object_store": None if behind is None else await behind.status(),
            }
        )

    app.router.add_get("/fleet", shown)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and 1 <= int(text) <= _MAX_MEMBERS):
        raise errors.name_invalid(f"limit must be a number from 1 to {_MAX_MEMBERS}")
    return int(text)
