"""Documents in an object store say nothing that was not signed for their place."""

import json

import pytest

from regproxy.behind import documents
from regproxy.behind.documents import Closure, Frozen, Pinned, TagDocument
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.pieces import PieceSums
from regproxy.policy.tag_history import PastMeaning
from tests.behind_kit import KEY, OTHER_KEY, signer

FOUND = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"x"), 1)


def test_n17_04_every_document_is_read_as_it_was_written() -> None:
    sums = PieceSums(1, 1024 * 1024, bytes(32))
    tag = TagDocument(TagRecord(FOUND, 5.0), (PastMeaning(FOUND.digest, 1.0), PastMeaning(None, 2.0)))
    assert documents.sums_of(documents.sums_document(sums)) == sums
    assert documents.link_of(documents.link_document(FOUND)) == FOUND
    assert documents.tag_with_history_of(documents.tag_with_history(tag)) == tag
    assert documents.closure_of(documents.closure_document(Closure(3.0, "no"))) == Closure(3.0, "no")
    for pinned in (Pinned(FOUND.digest, is_lifted=False), Pinned(FOUND.digest, is_lifted=True)):
        assert documents.pinned_of(documents.pinned_document(pinned)) == pinned
    for freeze in (Freeze("a:*", FOUND.digest), Freeze("a:*", None), None):
        assert documents.frozen_of(documents.frozen_document(Frozen("a:*", freeze))) == Frozen("a:*", freeze)


@pytest.mark.parametrize(
    "document", [None, {}, {"size": "x"}, {"digest": "sha256:x"}, {"checked_at": float("inf"), **documents.link_document(FOUND)}]
)
def test_n17_04_what_has_nothing_in_it_says_nothing(document: dict[str, object] | None) -> None:
    assert documents.sums_of(document) is None
    assert documents.tag_with_history_of(document) is None
    assert documents.closure_of(document) is None
    assert documents.frozen_of(document) is None
    assert documents.pinned_of(document) in {None, Pinned(FOUND.digest, is_lifted=False)}
    assert documents.link_of(document) in {None, FOUND}


@pytest.mark.parametrize("pattern", [None, 1, "", "a\n", "a" * 1025])
def test_n17_04_a_freeze_of_no_pattern_says_nothing(pattern: object) -> None:
    assert documents.frozen_of({"pattern": pattern, "digest": "", "is_lifted": False}) is None


def test_n17_04_only_our_keys_and_the_same_place_verify() -> None:
    written = signer().signed("tags/a", {"a": 1})
    verified = signer(f"{OTHER_KEY},{KEY}").verified("tags/a", written)
    assert verified is not None
    assert verified["a"] == 1
    assert signer(OTHER_KEY).verified("tags/a", written) is None
    assert [signer(keys).is_current("tags/a", written) for keys in (KEY, f"{KEY},{OTHER_KEY}", f"{OTHER_KEY},{KEY}")] == [True, True, False]
    assert signer().verified("tags/b", written) is None
    assert signer().verified("tags/a", written.replace(b'"a":1', b'"a":2')) is None
    for wrong in (None, b"", b"{}", b"\n" + b"0" * 64, json.dumps({"a": 1}).encode(), b"\xff" * 200):
        assert signer().verified("tags/a", wrong) is None
