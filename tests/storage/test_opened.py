"""Files that stay open."""

from pathlib import Path

from regproxy.oci.digest import Digest
from regproxy.storage.opened import PUT_ASIDE, OpenBlob, OpenFiles


async def spoil() -> None: ...


def opened(path: Path) -> OpenBlob:
    path.write_bytes(b"blob")
    return OpenBlob(path.open("rb"), 4, spoil)


def test_a_file_is_closed_by_its_last_reader(tmp_path: Path) -> None:
    blob, closed = opened(tmp_path / "blob"), list[bool]()
    blob.hold()
    blob.when_closed(lambda: closed.append(True))
    blob.release()
    assert (blob.file.closed, closed) == (False, [])
    blob.release()
    assert (blob.file.closed, closed) == (True, [True])
    blob.when_closed(lambda: closed.append(True))
    assert closed == [True, True]


def test_a_file_that_shrank_went_or_was_put_aside_is_kept_no_longer(tmp_path: Path) -> None:
    blobs = [opened(tmp_path / name) for name in ("whole", "short", "gone", "aside")]
    (tmp_path / "short").write_bytes(b"b")
    (tmp_path / "gone").unlink()
    (tmp_path / "aside").chmod(PUT_ASIDE)
    assert [blob.is_kept for blob in blobs] == [True, False, False, False]
    for blob in blobs:
        blob.release()
        assert not blob.is_kept


def test_what_falls_out_is_read_to_its_end_and_what_is_gone_is_let_go(tmp_path: Path) -> None:
    files = OpenFiles(2)
    blobs = [opened(tmp_path / f"{number}") for number in range(3)]
    blobs[0].hold()
    for number, blob in enumerate(blobs):
        files[Digest.of(b"%d" % number)] = blob
    assert (len(files), [blob.file.closed for blob in blobs]) == (2, [False, False, False])
    blobs[0].release()
    (tmp_path / "1").unlink()
    files.let_go()
    assert [blob.file.closed for blob in blobs] == [True, True, False]
    del files[Digest.of(b"2")]
    assert blobs[2].file.closed
