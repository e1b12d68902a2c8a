"""What is shared, as JSON, and what is none of it."""

import json

import pytest

from regproxy.fleet.codec import reference_document, reference_of, tag_document, tag_of, token_document, token_of
from regproxy.oci.reference import Reference
from regproxy.policy.freshness import TagAnswer
from tests.conformance.test_fleet import ANSWERS, BY_DIGEST, BY_TAG, TOKENS


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_read_as_it_was_written(answer: TagAnswer) -> None:
    assert tag_of(json.loads(json.dumps(tag_document(answer)))) == answer


@pytest.mark.parametrize("reference", [BY_TAG, BY_DIGEST])
def test_a_reference_is_read_as_it_was_written(reference: Reference) -> None:
    assert reference_of(json.loads(json.dumps(reference_document(reference)))) == reference


def test_a_token_is_read_as_it_was_written() -> None:
    assert token_of(json.loads(json.dumps(token_document(TOKENS[0])))) == TOKENS[0]


@pytest.mark.parametrize("document", [None, {}, {"media_type": "a"}, tag_document(ANSWERS[0]) | {"digest": "sha256:x"}, {"denied": "why"}])
def test_what_is_no_answer_is_none(document: dict[str, object] | None) -> None:
    assert tag_of(document) is None


@pytest.mark.parametrize("value", [None, 5, "", "a b", "a\n", "\u00e9", "a" * (16 * 1024 + 1)])
def test_n12_14_what_is_no_token_is_not_taken_from_anybody(value: object) -> None:
    assert token_of({"value": value, "renew_at": 1.0, "expires_at": 2.0}) is None
    assert token_of({"value": "a", "renew_at": value, "expires_at": 2.0}) is None or value == 5
