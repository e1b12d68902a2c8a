"""A tar whose files are read here and there; one that is compressed is unpacked for that, into room that the store has."""

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from regproxy.oci.tar import InvalidTar, Member, read_members

CHUNK = 1024 * 1024  # bytes that are unpacked at once

_MAX_INPUT = 64 * 1024  # bytes read at once: each stream that ends among them copies the rest
_MAX_STREAMS = 10_000  # of gzip, bzip2 or xz, one after another in a file
_XZ_MEMORY = 128 * 1024 * 1024  # bytes; xz -9 needs half of it, and a header may ask for 4 GiB
_ZSTD = b"\x28\xb5\x2f\xfd"


class Unreadable(ValueError):
    """The tar holds no images that we know how to read."""


class Archive:
    """The files of one tar, by name. It blocks: call it in a thread."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the headers of a *file* that is not compressed; raise `Unreadable`."""
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        try:
            self._members = read_members(self._read, self._end)
        except InvalidTar as error:
            raise Unreadable(f"it {error}") from error

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(member.size for member in self._members.values())

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size_of(self, name: str) -> int:
        return self._file_at(name).size

    def body(self, name: str, most: int) -> bytes:
        """Read a whole file of at most so many bytes; raise `Unreadable`."""
        member = self._file_at(name)
        if member.size > most:
            raise Unreadable(f"{name[:200]} has {member.size} bytes, and {most} are the most that is taken")
        return self._read(member.offset, member.size)

    def chunk(self, name: str, start: int) -> bytes:
        """Read a part of a file from *start* on; none at its end."""
        member = self._file_at(name)
        return self._read(member.offset + start, min(CHUNK, member.size - start))

    def _file_at(self, name: str) -> Member:
        """Find a file. `docker save` has a layer that two images share once, and links to it: one step leads to a file, or nowhere."""
        member = self._members.get(name)
        if member is not None and member.link is not None:
            member = self._members.get(member.link)
        if member is None:
            raise Unreadable(f"{name[:200]} is missing in it")
        if member.link is not None:
            raise Unreadable(f"{name[:200]} is a link to a link")
        return member

    def _read(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)


class _Decompressor(Protocol):
    eof: bool
    unused_data: bytes

    def take(self, data: bytes) -> bytes: ...
    @property
    def has_more(self) -> bool: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)  # with gzip's header and checksum

    eof = property(lambda self: self._inner.eof)
    unused_data = property(lambda self: self._inner.unused_data)
    has_more = property(lambda self: bool(self._inner.unconsumed_tail))

    def take(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, CHUNK)


class _Other:
    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner

    eof = property(lambda self: self._inner.eof)
    unused_data = property(lambda self: self._inner.unused_data)
    has_more = property(lambda self: not self._inner.needs_input)

    def take(self, data: bytes) -> bytes:
        return self._inner.decompress(data, CHUNK)


_FORMATS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": lambda: _Other(bz2.BZ2Decompressor()),
    b"\xfd7zXZ\0": lambda: _Other(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
}


def decompressed(file: BinaryIO) -> Iterator[bytes] | None:
    """Unpack a *file*, at most `CHUNK` bytes at a time; None where it is not compressed. Raise `Unreadable`, also on the way."""
    file.seek(0)
    first = file.read(8)
    file.seek(0)
    if first.startswith(_ZSTD):
        raise Unreadable("it is compressed by zstd: unpack it first (zstd -d)")
    make = next((make for magic, make in _FORMATS.items() if first.startswith(magic)), None)
    return None if make is None else _unpacked(file, make)


def _unpacked(file: BinaryIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Go through all streams of a file; zeros may fill it up (gzip, bzip2)."""
    current: _Decompressor | None = None
    streams = 0
    try:
        while data := file.read(_MAX_INPUT):
            while data or (current is not None and current.has_more):
                if current is None:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    streams += 1
                    _check_streams(streams)
                    current = make()
                if chunk := current.take(data):
                    yield chunk
                data = b""
                if current.eof:
                    data, current = current.unused_data, None
    except Unreadable:
        raise
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
        raise Unreadable(f"it is compressed, and cannot be unpacked: {error}") from error
    if current is not None:
        raise Unreadable("it is compressed, and only a part of it is there")


def _check_streams(count: int) -> None:
    if count > _MAX_STREAMS:
        raise Unreadable(f"it is compressed in more than {_MAX_STREAMS} streams: unpack it first")
