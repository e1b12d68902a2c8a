"""Tokens, references and tag records as JSON, for those who share them."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, parse_target
from regproxy.policy.clients.proof import Finding, Proof
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import Denied, Missing, TagAnswer, TagRecord
from regproxy.policy.tag_history import History, PastMeaning
from regproxy.policy.upstream.tokens import Token, is_token


def token_document(token: Token) -> dict[str, Any]:
    return {"value": token.value.value, "renew_at": token.renew_at, "expires_at": token.expires_at}


def token_of(document: Mapping[str, Any] | None) -> Token | None:
    """Read a token; None where there is none in it that can be used."""
    try:
        if not document or not is_token(value := document["value"]):
            return None
        return Token(Secret(value), float(document["renew_at"]), float(document["expires_at"]))
    except (KeyError, TypeError, ValueError):
        return None


def tag_document(record: TagAnswer) -> dict[str, Any]:
    if isinstance(record, Missing):
        return {"missing": record.reason, "checked_at": record.checked_at}
    if isinstance(record, Denied):
        return {"denied": record.reason, "checked_at": record.checked_at, "status": record.status, "code": record.code}
    found = record.descriptor
    return {"media_type": found.media_type, "digest": str(found.digest), "size": found.size, "checked_at": record.checked_at}


def tag_of(document: Mapping[str, Any] | None) -> TagAnswer | None:
    """Read what upstream said; None where there is nothing in it, or what another version would read."""
    if not document:
        return None
    try:
        checked_at = float(document["checked_at"])
        if "missing" in document:
            return Missing(_text(document, "missing"), checked_at)
        if "denied" in document:
            return Denied(_text(document, "denied"), checked_at, _whole(document, "status"), _text(document, "code"))
        return TagRecord(_descriptor(document), checked_at)
    except (KeyError, TypeError, ValueError):
        return None


def history_document(history: History) -> dict[str, Any]:
    return {"meanings": [[str(each.digest) if each.digest else None, each.since] for each in history]}


def history_of(document: Mapping[str, Any] | None) -> History:
    """Read what a tag meant; nothing where there is nothing in it, or what another version would read."""
    try:
        meanings = document["meanings"] if document else ()
        found = tuple(PastMeaning(Digest.parse(digest) if digest is not None else None, float(since)) for digest, since in meanings)
        return found if all(isfinite(each.since) for each in found) else ()
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def proof_document(proof: Proof) -> dict[str, Any]:
    return {"asked_at": proof.asked_at, "finding": proof.finding.value, "thing": proof.thing, "reason": proof.reason}


def proof_of(document: Mapping[str, Any] | None) -> Proof | None:
    """Read a proof; None where there is nothing in it, or what another version would read."""
    try:
        if not document:
            return None
        finding = Finding(document["finding"])
        return Proof(float(document["asked_at"]), finding, _text(document, "thing"), _text(document, "reason"))
    except (KeyError, TypeError, ValueError):
        return None


def reference_document(reference: Reference) -> list[str]:
    return [reference.repository.registry, reference.repository.name, str(reference.target)]


def reference_of(document: Sequence[str]) -> Reference:
    registry, name, target = document
    return Reference(Repository(registry, name), parse_target(target))


def _descriptor(document: Mapping[str, Any]) -> Descriptor:
    return Descriptor(_text(document, "media_type"), Digest.parse(_text(document, "digest")), _whole(document, "size"))


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _whole(document: Mapping[str, Any], name: str) -> int:
    value = document[name]
    if not isinstance(value, int):
        raise TypeError(name)
    return value
