"""The dashboard at the root of the admin port, drawn by the browser from `/readyz` and `/api/v1`."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from aiohttp import web

_SCRIPTS = ("charts.js", "images.js", "fleet.js", "dashboard.js")


def _part(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


_STYLE, _SCRIPT = _part("dashboard.css"), b"".join(_part(name) for name in _SCRIPTS)
_PAGE = _part("dashboard.html").replace(b"<style>", b"<style>" + _STYLE).replace(b"<script>", b"<script>" + _SCRIPT)


def _hash_of(body: bytes) -> str:
    """Name the page's own script or style, so that a browser takes no other (CSP level 3, 2.3.1)."""
    return f"'sha256-{b64encode(sha256(body).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of(_SCRIPT)}",
            f"style-src {_hash_of(_STYLE)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def dashboard(_: web.Request) -> web.Response:
    return web.Response(body=_PAGE, content_type="text/html", charset="utf-8", headers=_HEADERS)
