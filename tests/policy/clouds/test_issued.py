import base64
import json

import pytest

from regproxy.policy.clouds.issued import credential_of, issued
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.upstream.tokens import Token


def test_n19_01_a_credential_is_what_it_was_and_is_renewed_ahead_of_its_end() -> None:
    credential = Credential("AWS", Secret("canary:pässword"), CredentialKind.IDENTITY)
    token = issued(credential, 3600, now=1000, chance=0.5)
    assert token is not None
    assert credential_of(token) == credential
    assert 1000 + 1800 < token.renew_at < token.expires_at < 1000 + 3600


@pytest.mark.parametrize(("password", "seconds"), [("p", 0), ("p", -5), ("p" * 20_000, 60)])
def test_n19_01_what_is_over_or_too_long_is_no_credential(password: str, seconds: float) -> None:
    assert issued(Credential("u", Secret(password)), seconds, 0, 0) is None


@pytest.mark.parametrize(
    "value",
    [
        "!",
        base64.b64encode(b"{").decode(),
        base64.b64encode(json.dumps(["x", "u", "p"]).encode()).decode(),
        base64.b64encode(b"[1]").decode(),
        base64.b64encode(b"1").decode(),
    ],
)
def test_n19_01_a_token_of_something_else_holds_no_credential(value: str) -> None:
    assert credential_of(Token(Secret(value), 0, 0)) is None
