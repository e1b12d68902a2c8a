"""Workload identity federation of Google Cloud, as its configuration file says (google.aip.dev/auth/4117)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class InvalidFederation(ValueError):
    """The file cannot be used; the message is a predicate."""


@dataclass(frozen=True, slots=True)
class Federation:
    """Whose tokens are exchanged, where, and for whom."""

    audience: str
    subject_token_type: str
    token_url: str
    token_file: Path
    token_field: str | None  # of a file that is JSON; None: the file is the token
    impersonation_url: str | None

    @classmethod
    def parse(cls, text: bytes) -> "Federation":
        """Read a configuration whose tokens are in a file; raise `InvalidFederation`."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or document.get("type") != "external_account":
            raise InvalidFederation("is not a credential configuration of type external_account")
        source = document.get("credential_source")
        if not isinstance(source, dict) or not isinstance(source.get("file"), str):
            raise InvalidFederation("names no file in credential_source: tokens of a URL, an executable or AWS are not exchanged here")
        form = source.get("format")
        is_json = isinstance(form, dict) and form.get("type") == "json"
        return cls(
            audience=_text(document, "audience"),
            subject_token_type=_text(document, "subject_token_type"),
            token_url=_confidential(document, "token_url"),
            token_file=Path(source["file"]),
            token_field=_text(form, "subject_token_field_name") if is_json and isinstance(form, dict) else None,
            impersonation_url=_confidential(document, name) if document.get(name := "service_account_impersonation_url") else None,
        )

    def token(self, text: str) -> str:
        """Find the token in what is in its file; empty where it is not."""
        if self.token_field is None:
            return text.strip()
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        found = document.get(self.token_field) if isinstance(document, dict) else None
        return found if isinstance(found, str) else ""


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidFederation(f"has no {name}")
    return value


def _confidential(document: Mapping[str, Any], name: str) -> str:
    value = _text(document, name)
    try:
        parts = urlsplit(value)
    except ValueError:
        raise InvalidFederation(f"has a {name} that is no URL") from None
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
        raise InvalidFederation(f"has a {name} that is not https: tokens are sent there")
    return value
