import hashlib
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.storage.hashing import Hashed, hashed


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_file_is_read_to_its_end(tmp_path: Path, algorithm: str) -> None:
    body = b"x" * 300_000
    (tmp_path / "blob").write_bytes(body)
    assert hashed(tmp_path / "blob", algorithm) == Hashed(Digest(algorithm, hashlib.new(algorithm, body).hexdigest()), len(body))


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"blob")
    (tmp_path / "link").symlink_to("blob")
    assert [hashed(tmp_path / name, "sha256") for name in (".", "link")] == [None, None]


def test_what_is_not_there_is_told_from_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hashed(tmp_path / "missing", "sha256")
