"""Headers of tars, against Python's own."""

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.tar import BLOCK, InvalidTar, Member, plain, read_members

FORMATS = pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["ustar", "gnu", "pax"])


def reader(body: bytes) -> tuple[Callable[[int, int], bytes], int]:
    return lambda offset, count: body[offset : offset + count], len(body)


def made(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return file.getvalue()


@FORMATS
def test_files_are_found_in_every_format(form: int) -> None:
    files = {"index.json": b"{}", "blobs/sha256/" + "a" * 64: b"x" * 1000, f"{'d' * 60}/{'e' * 60}": b"", "empty": b""}
    body = made(files, form)
    members = read_members(*reader(body))
    assert {name: body[member.offset : member.offset + member.size] for name, member in members.items()} == files


@FORMATS
def test_links_are_described(form: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, kind, target in (("a/b/layer", tarfile.SYMTYPE, "../c/layer"), ("hard", tarfile.LNKTYPE, "a/c/layer")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    members = read_members(*reader(file.getvalue()))
    assert {name: member.link for name, member in members.items()} == {"a/b/layer": "a/c/layer", "hard": "a/c/layer"}


def test_a_size_in_base_256_is_read() -> None:
    header = tarfile.TarInfo("large")
    header.size = 2**33 + 5
    body = header.tobuf(tarfile.GNU_FORMAT)
    members = read_members(lambda offset, count: body[offset : offset + count], 2**40)
    assert members == {"large": Member(BLOCK, 2**33 + 5)}


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../b", "a/..", "..", "x" * 600, "//a", "./../a"])
def test_n12_17_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidTar):
        plain(name)


@pytest.mark.parametrize(
    ("name", "written"), [("./index.json", "index.json"), ("././a//b/./c", "a/b/c"), ("./", ""), ("a...b/..c", "a...b/..c")]
)
def test_n13_07_names_are_read_without_what_means_nothing(name: str, written: str) -> None:
    assert plain(name) == written


def extension(body: bytes) -> bytes:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(body)
    return header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % BLOCK)


def test_n12_17_many_records_of_pax_are_refused_before_they_are_read() -> None:
    """They were copied for each other: 2,000 such headers, 592 KB of gzip, took minutes."""
    header = extension(b"6 a=b\n" * (64 * 1024 // 6))
    read: list[int] = []

    def reading(offset: int, count: int) -> bytes:
        read.append(count)
        start = offset % len(header)
        return header[start : start + count]

    with pytest.raises(InvalidTar, match="more than 200000 records"):
        read_members(reading, 2000 * len(header))
    assert sum(read) < 20 * len(header)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_n12_17_the_bytes_of_extended_headers_are_bounded_over_a_tar(kind: bytes) -> None:
    size = 64 * 1024
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, size
    block = header.tobuf(tarfile.USTAR_FORMAT) + f"{size} a=".encode().ljust(size - 1, b"b") + b"\n"
    with pytest.raises(InvalidTar, match="bytes of extended headers"):
        read_members(lambda offset, count: block[offset % len(block) :][:count], 2000 * len(block))


@pytest.mark.parametrize("padding", [0, 7, 3000])
def test_n12_17_each_record_of_a_header_is_read(padding: int) -> None:
    body = extension(b"6 a=b\n" * 1000 + b"12 path=new\n" + b"6 c=d\n" + bytes(padding)) + made({"old": b"x"}, tarfile.USTAR_FORMAT)
    assert list(read_members(*reader(body))) == ["new"]


@pytest.mark.parametrize("records", [b"6 a=b\n7 a=b\n", b"5 a=b\n", b"6 a=b\n\0\x006 a=b\n", b"0 a=b\n", b"6 aab\n", b"x"])
def test_n12_17_records_with_a_wrong_length_are_refused(records: bytes) -> None:
    with pytest.raises(InvalidTar, match="cannot be read"):
        read_members(*reader(extension(records) + made({"old": b"x"})))


@given(st.binary(max_size=2000), st.integers(0, 1023))
def test_n12_17_whatever_the_bytes_it_is_a_tar_or_refused(noise: bytes, place: int) -> None:
    """A tar with something else in the middle of it."""
    body = bytearray(made({"a": b"x" * 100, "b" * 200: b"y"}))
    body[place : place + len(noise)] = noise
    try:
        members = read_members(*reader(bytes(body)))
    except InvalidTar:
        return
    assert all(0 <= member.offset <= member.offset + member.size <= len(body) for member in members.values())


def member(name: str = "a", kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.size, header.linkname = kind, size, link
    return header.tobuf(tarfile.USTAR_FORMAT)


def changed(header: bytes, place: int, new: bytes) -> bytes:
    """Write *new* into a header, with a sum that is right."""
    block = header[:place] + new + header[place + len(new) :]
    return block[:148] + f"{sum(block[:148] + b' ' * 8 + block[156:512]):06o}".encode() + b"\0 " + block[156:]


def globally(body: bytes) -> bytes:
    return changed(extension(body), 156, tarfile.XGLTYPE)


REFUSED = [
    pytest.param(b"", "is no tar", id="nothing"),
    pytest.param(b"x" * 100, "is no tar", id="less than a header"),
    pytest.param(member() + b"x", "only a part", id="a header that is cut"),
    pytest.param(member(size=1), "only a part", id="a file that is cut"),
    pytest.param(extension(b"x" * 600)[:600], "only a part", id="an extended header that is cut"),
    pytest.param(member(kind=tarfile.XHDTYPE, size=65_537), "a header of 65537 bytes", id="an extended header that is large"),
    pytest.param(member() + member(), "'a' in it twice", id="a name twice"),
    pytest.param(member("."), "without a name", id="no name"),
    pytest.param(member(kind=tarfile.CHRTYPE), "a device", id="a device"),
    pytest.param(member(kind=b"Z"), "something unknown", id="an unknown kind"),
    pytest.param(b"x" + member()[1:], "damaged", id="a wrong sum"),
    pytest.param(changed(member(), 0, b"\xff\xfe"), "not UTF-8", id="a name that is no text"),
    pytest.param(changed(member(), 124, b"9" * 11), "damaged", id="a size that is no octal number"),
    pytest.param(changed(member(), 124, b"\x80" + b"\xff" * 11), "damaged", id="a size that no disk has"),
    pytest.param(extension(b"8 size=\n") + member(), "cannot be read", id="no size in an extended header"),
    pytest.param(extension(b"22 GNU.sparse.major=1\n"), "sparse", id="a sparse file"),
    pytest.param(globally(b"9 path=a\n"), "all its members", id="one name for all"),
]


@pytest.mark.parametrize(("body", "why"), REFUSED)
def test_n12_17_what_no_image_needs_is_refused_in_words(body: bytes, why: str) -> None:
    with pytest.raises(InvalidTar, match=why):
        read_members(*reader(body))


def test_n12_17_the_members_of_a_tar_are_bounded() -> None:
    folder = member("a/", tarfile.DIRTYPE)
    with pytest.raises(InvalidTar, match="more than 50000 members"):
        read_members(lambda _, count: folder[:count], 2**40)


def test_folders_are_no_members_and_comments_for_all_change_nothing() -> None:
    body = globally(b"17 comment=hello\n") + member("a/", tarfile.DIRTYPE) + member("b/") + member("c") + bytes(2 * BLOCK)
    assert list(read_members(*reader(body))) == ["c"]


def test_a_size_in_an_extended_header_is_that_of_the_file() -> None:
    assert read_members(*reader(extension(b"9 size=5\n") + member() + b"hello"))["a"].size == 5


def test_a_sum_of_signed_characters_is_a_sum() -> None:
    """Sun's tar wrote it so."""
    block = changed(member(), 0, "\u00e9".encode())
    signed = sum(each - 256 if each > 127 else each for each in block[:148] + b" " * 8 + block[156:])
    assert list(read_members(*reader(block[:148] + f"{signed:06o}".encode() + b"\0 " + block[156:]))) == ["\u00e9"]
