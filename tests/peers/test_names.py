from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import PIECES, Blob, parsed, target_of

BLOB = Blob(Repository("registry.test:5000", "library/app"), Digest.of(b"blob"))


@pytest.mark.parametrize("is_final", [False, True])
@pytest.mark.parametrize("us", ["", "http://[2001:db8::1]:5000"])
def test_n17_02_what_is_asked_for_is_read_as_it_was_written(is_final: bool, us: str) -> None:
    path, _, query = target_of(BLOB, is_final=is_final, us=us).partition("?")
    assert path == PIECES
    assert parsed(parse_qs(query)) == (BLOB, is_final, us)


@pytest.mark.parametrize(
    "changed",
    [
        {"ns": []},
        {"ns": ["a", "b"]},
        {"name": ["../../etc"]},
        {"name": ["Upper"]},
        {"digest": ["sha256:f00"]},
        {"digest": ["../" * 30]},
        {"final": []},
    ],
)
def test_n17_20_what_names_no_blob_is_refused(changed: dict[str, list[str]]) -> None:
    query = parse_qs(target_of(BLOB, is_final=True).partition("?")[2])
    with pytest.raises(ValueError, match="not a part of a blob"):
        parsed(query | changed)


@given(st.dictionaries(st.sampled_from(["ns", "name", "digest", "final", "from", "x"]), st.lists(st.text(max_size=20), max_size=2)))
def test_n17_20_nonsense_is_refused(query: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="not a part of a blob"):
        parsed(query)
