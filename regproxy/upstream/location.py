"""Where a `Location` leads, read byte by byte, and how such an address may be logged.

What is signed must arrive as it was written, so nothing is quoted anew that a request line can carry. In errors and logs only scheme,
host and port are shown: user information is a password, and signatures live in queries and paths.
"""

import re

from yarl import URL

_UNSENDABLE = re.compile(r"[^\x21-\x7e]")  # RFC 9112, 3: a request line has no spaces, controls or foreign letters
_SCHEMES = frozenset({"http", "https"})
_MAX_SHOWN = 200  # characters


def next_hop(url: URL, location: str) -> URL | None:
    """Resolve *location* against *url*; None where it is no address that may be followed from there."""
    try:
        target = url.join(URL(_UNSENDABLE.sub(_quoted, location.strip()), encoded=True))
        if target.scheme not in _SCHEMES or not target.host or "@" in target.raw_authority:
            return None
    except ValueError:
        return None
    return None if url.scheme == "https" and target.scheme != "https" else target


def place(url: URL) -> str:
    """Name who is asked, for people: two hosts may differ by their port alone."""
    return str(url.host) if url.is_default_port() else f"{url.host}:{url.port}"


def shown(address: str, *, with_path: bool = False) -> str:
    """Return scheme, host and port of a foreign address, its path where that is no secret, and nothing else of it."""
    try:
        url = URL(_UNSENDABLE.sub(_quoted, address.strip()), encoded=True)
        text = f"{url.scheme}://{place(url)}" if url.host else f"{url.scheme}:" if url.scheme else "a path"
    except ValueError:
        return "something that is no URL"
    return f"{text}{url.raw_path if with_path else ''}"[:_MAX_SHOWN]


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
