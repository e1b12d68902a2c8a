"""Whether a body is encoded (RFC 9110, 8.4).

Storage services keep in `Content-Encoding` whatever an uploader said: `aws-chunked`, which was of the upload, a character set, nothing.
Only a registered coding changes the bytes (IANA, HTTP Content Coding Registry).
"""

from collections.abc import Iterable

_CODINGS = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip", "x-compress", "x-gzip", "zstd"}
)


def codings(headers: Iterable[str]) -> list[str]:
    """List the content codings of a body, as *headers* name them."""
    named = (each.strip().lower() for header in headers for each in header.split(","))
    return [each for each in named if each in _CODINGS]
