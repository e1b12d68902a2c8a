"""Archives that have the same bytes whenever and wherever they are made."""

import gzip
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path


def write_tar_gz(path: Path, files: Iterable[tuple[str, bytes, int]], epoch: int) -> None:
    """Write *files* (name, content, mode) in their order, all of them owned by root and of the time *epoch*."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content, mode in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o755 if mode & 0o100 else 0o644, epoch
            archive.addfile(member, BytesIO(content))


def repack(path: Path, epoch: int) -> None:
    """Write a .tar.gz anew with its files in the order of their names."""
    with tarfile.open(path) as archive:
        files = [(each.name, _content(archive, each), each.mode) for each in archive.getmembers() if each.isfile()]
    write_tar_gz(path, sorted(files), epoch)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    return opened.read() if opened else b""
