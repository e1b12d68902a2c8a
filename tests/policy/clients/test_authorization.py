"""What a client shows: read as it is meant, or refused without showing anything of it."""

import base64

import pytest

from regproxy.policy.clients.authorization import MAX_BYTES, Basic, Bearer, InvalidAuthorization, is_jwt, parse_authorization
from regproxy.policy.credential import Secret


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_n16_02_users_and_tokens_are_read() -> None:
    assert parse_authorization([basic("ann:pass:word")]) == Basic("ann", Secret("pass:word"))
    assert parse_authorization([basic("ann:pass").replace("Basic", "bASIC ")]) == Basic("ann", Secret("pass"))
    assert parse_authorization(["bearer abc.def"]) == Bearer(Secret("abc.def"))


def test_n16_02_nothing_and_an_empty_user_are_nobody() -> None:
    assert parse_authorization([]) is None
    assert parse_authorization([basic(":")]) is None


@pytest.mark.parametrize(
    "values",
    [
        ["Basic"],
        ["Basic !!!"],
        ["Basic canary"],
        ["Basic " + base64.b64encode(b"\xff\xfe:canary").decode()],
        [basic("no colon, canary")],
        [basic("ann:canary\r\nX: 1")],
        ["Bearer"],
        ["Bearer two canary"],
        ["Bearer can\u00e4ry"],
        ["Digest canary"],
        ["Negotiate canary"],
        [""],
        ["Bearer canary", "Bearer canary"],
        ["Bearer " + "canary" * (MAX_BYTES // 6)],
    ],
)
def test_n16_02_anything_else_is_refused_and_not_repeated(values: list[str]) -> None:
    with pytest.raises(InvalidAuthorization) as refused:
        parse_authorization(values)
    assert "can" not in str(refused.value)


def test_a_jwt_is_known_by_its_form() -> None:
    assert is_jwt("eyJhbGciOiJub25lIn0.e30.")
    assert not is_jwt("eyJhbGciOiJub25lIn0")
    assert not is_jwt("a.b.c")
