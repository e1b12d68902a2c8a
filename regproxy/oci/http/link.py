"""The query of a list's next page (RFC 8288, Web Linking), opaque to all but its author."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^;,\"]*(?:\"[^\"]*\")?)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"[^\"]*\bnext\b[^\"]*\"|next\b)", re.IGNORECASE)
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")  # RFC 3986, 3.4


def is_query(text: str) -> bool:
    """Return whether *text* can be sent as a query as it stands."""
    return _QUERY.fullmatch(text) is not None


def next_query(fields: Sequence[str]) -> str | None:
    """Return the query of the first Link to the next page, byte by byte; None where there is none.

    The rest of the link is dropped: where the next page is asked for is not the answer's to say.
    """
    for field in fields:
        for target, parameters in _LINK.findall(field):
            if not _NEXT.search(parameters):
                continue
            try:
                query: str = urlsplit(target.strip()).query
            except ValueError:
                continue
            if query and is_query(query):
                return query
    return None
