import json
from pathlib import Path

import pytest

from regproxy.policy.clouds.google import Federation, InvalidFederation

GIVEN: dict[str, object] = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/a",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/var/run/token"},
}


def parsed(**changed: object) -> Federation:
    return Federation.parse(json.dumps({**GIVEN, **changed}).encode())


def test_n19_01_a_federation_names_whose_token_is_exchanged_where_and_for_whom() -> None:
    found = parsed()
    assert (found.token_file, found.token_field, found.impersonation_url) == (Path("/var/run/token"), None, None)
    assert parsed(service_account_impersonation_url="https://iam.example/x").impersonation_url == "https://iam.example/x"
    assert parsed(token_url="http://127.0.0.1:5000/t").token_url == "http://127.0.0.1:5000/t"


def test_n19_01_a_token_is_the_file_or_a_field_of_it() -> None:
    assert parsed().token(" canary\n") == "canary"
    form = {"type": "json", "subject_token_field_name": "id_token"}
    found = parsed(credential_source={"file": "/t", "format": form})
    assert found.token('{"id_token": "canary"}') == "canary"
    assert [found.token(text) for text in ("{", "[]", "{}", '{"id_token": 5}')] == [""] * 4
    assert parsed(credential_source={"file": "/t", "format": {"type": "text"}}).token_field is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"type": "service_account"}, "not a credential configuration"),
        ({"credential_source": {"url": "http://169.254.169.254/canary"}}, "names no file"),
        ({"credential_source": None}, "names no file"),
        ({"audience": ""}, "has no audience"),
        ({"subject_token_type": 5}, "has no subject_token_type"),
        ({"token_url": "http://canary.example/"}, "token_url that is not https"),
        ({"token_url": "https://"}, "token_url that is not https"),
        ({"token_url": "https://[canary"}, "token_url that is no URL"),
        ({"service_account_impersonation_url": "http://canary.example/"}, "impersonation_url that is not https"),
        ({"credential_source": {"file": "/t", "format": {"type": "json"}}}, "has no subject_token_field_name"),
    ],
)
def test_n19_01_a_federation_that_cannot_be_used_says_why_without_its_words(changed: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidFederation, match=told) as raised:
        parsed(**changed)
    assert "canary" not in str(raised.value)


def test_n19_01_a_file_that_is_no_json_is_told() -> None:
    for text in (b"", b"[]", b"[" * 100_000):
        with pytest.raises(InvalidFederation, match="is not a credential configuration"):
            Federation.parse(text)
