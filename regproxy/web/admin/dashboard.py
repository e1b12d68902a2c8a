"""The dashboard at the root of the admin port, drawn by the browser from `/metrics` and `/api/v1`."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from aiohttp import web

_PAGE = files(__package__).joinpath("dashboard.html").read_bytes()


def _hash_of(element: bytes) -> str:
    """Name the page's own script or style, so that a browser takes no other (CSP level 3, 2.3.1)."""
    found = re.search(rb"<%b>(.*?)</%b>" % (element, element), _PAGE, re.DOTALL)
    assert found is not None  # noqa: S101  a page of ours
    return f"'sha256-{b64encode(sha256(found[1]).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of(b'script')}",
            f"style-src {_hash_of(b'style')}",
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
