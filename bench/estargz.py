"""eStargz layers: tars whose files can be read one by one out of a compressed blob (stargz-snapshotter, docs/estargz.md)."""

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from hashlib import sha256

from tests.clients.content import OCI_LAYER, Blob, Layer

TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
_TOC = "stargz.index.json"
_PREFETCHED = ".prefetch.landmark"  # everything before it is fetched as soon as the layer is mounted
_CHUNK = 4 * 1024 * 1024  # bytes of a file that have a gzip member of their own
_BLOCK = 512  # of a tar
_EMPTY = b"\x01\x00\x00\xff\xff"  # a deflate stream of one stored block without bytes: Go writes the same


def layer(first: Mapping[str, bytes], then: Mapping[str, bytes]) -> tuple[Layer, str]:
    """Pack files, *first* those that are fetched at once; return the layer and the digest of its table of contents (an annotation)."""
    packed, plain, entries = io.BytesIO(), sha256(), []

    def member(body: bytes) -> int:
        """Append a gzip member, and return where it begins."""
        offset = packed.tell()
        packed.write(gzip.compress(body, compresslevel=1, mtime=0))
        plain.update(body)
        return offset

    for name, body in {**first, _PREFETCHED: b"\x0f", **then}.items():
        member(_header(name, len(body)))
        chunks = [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]
        for number, chunk in enumerate(chunks):
            is_last = number == len(chunks) - 1
            entry: dict[str, object] = {"name": name, "type": "chunk" if number else "reg"}
            if not number:
                entry |= {"size": len(body), "mode": 0o755, "modtime": "1970-01-01T00:00:00Z", "digest": _digest(body)}
            entry |= {"offset": member(chunk + _padding(len(body)) if is_last else chunk), "chunkDigest": _digest(chunk)}
            if number or len(chunks) > 1:
                entry |= {"chunkOffset": number * _CHUNK, "chunkSize": 0 if is_last else len(chunk)}
            entries.append(entry)
    contents = json.dumps({"version": 1, "entries": entries}).encode()
    toc = member(_header(_TOC, len(contents)) + contents + _padding(len(contents)) + bytes(2 * _BLOCK))
    packed.write(_footer(toc))
    return Layer(Blob(f"{OCI_LAYER}+gzip", packed.getvalue()), f"sha256:{plain.hexdigest()}"), _digest(contents)


def _header(name: str, size: int) -> bytes:
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, 0o755
    return found.tobuf()


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _digest(body: bytes) -> str:
    return f"sha256:{sha256(body).hexdigest()}"


def _footer(toc: int) -> bytes:
    """Write a gzip member of nothing, whose extra field says where the table of contents begins: 51 bytes."""
    field = f"{toc:016x}STARGZ".encode()
    extra = b"SG" + len(field).to_bytes(2, "little") + field
    head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + len(extra).to_bytes(2, "little") + extra
    return head + _EMPTY + zlib.crc32(b"").to_bytes(4, "little") + bytes(4)
