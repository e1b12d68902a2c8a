"""A tar that is compressed is unpacked, whatever is in it."""

import bz2
import gzip
import io
import lzma
import os
from typing import Any

import pytest

from regproxy.maintenance.archive import CHUNK, Unreadable, decompressed

EMPTY_STREAMS = {"gzip": gzip.compress(b""), "bzip2": bz2.compress(b""), "xz": lzma.compress(b"")}


@pytest.mark.parametrize("form", EMPTY_STREAMS)
def test_n12_17_many_compressed_streams_are_refused_as_they_begin(form: str) -> None:
    """Each copied all that was read behind it: 2,000,000 empty ones took hours."""
    stream = EMPTY_STREAMS[form]
    file = io.BytesIO(stream * 2_000_000)
    chunks = decompressed(file)
    assert chunks is not None
    with pytest.raises(Unreadable, match=r"^it is compressed in more than 10000 streams"):
        next(chunks)
    assert file.tell() < 20_000 * len(stream) + CHUNK


@pytest.mark.parametrize("form", [gzip, bz2, lzma], ids=["gzip", "bzip2", "xz"])
def test_n12_17_streams_of_any_size_are_unpacked_one_after_another(form: Any) -> None:  # noqa: ANN401  a module
    parts = [b"x" * 5_000_000, b"", os.urandom(200_000), *(bytes([number]) for number in range(100))]
    padding = bytes(8 * 20_000) if form is not lzma else b""
    chunks = list(decompressed(io.BytesIO(b"".join(map(form.compress, parts)) + padding)) or [])
    assert b"".join(chunks) == b"".join(parts)
    assert max(map(len, chunks)) <= CHUNK
