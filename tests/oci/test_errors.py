import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError

# distribution-spec, Error Codes; those below the line are Docker's, and ours where there is none.
KNOWN = {"NAME_INVALID", "NAME_UNKNOWN", "DIGEST_INVALID", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "DENIED", "UNSUPPORTED"}
KNOWN |= {"RANGE_INVALID", "MANIFEST_INVALID", "UNKNOWN", "UNAVAILABLE", "TOOMANYREQUESTS"}


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        pytest.param(errors.name_invalid("why"), "NAME_INVALID", 400, id="a name that is none"),
        pytest.param(errors.name_unknown("why"), "NAME_UNKNOWN", 404, id="an unknown registry"),
        pytest.param(errors.digest_invalid("why"), "DIGEST_INVALID", 400, id="a digest that is none"),
        pytest.param(errors.manifest_unknown("why"), "MANIFEST_UNKNOWN", 404, id="no such manifest"),
        pytest.param(errors.blob_unknown("why"), "BLOB_UNKNOWN", 404, id="no such blob"),
        pytest.param(errors.denied("why"), "DENIED", 403, id="the configuration or upstream forbids it"),
        pytest.param(errors.write_unsupported("why"), "UNSUPPORTED", 405, id="a write"),
        pytest.param(errors.endpoint_unsupported("why"), "UNSUPPORTED", 404, id="no such endpoint"),
        pytest.param(errors.range_invalid("why", 10), "RANGE_INVALID", 416, id="a range outside"),
        pytest.param(errors.content_invalid("why"), "MANIFEST_INVALID", 422, id="content that nobody should take"),
        pytest.param(errors.loop_detected("why"), "UNKNOWN", 508, id="we asked ourselves"),
        pytest.param(errors.bad_gateway("why"), "UNKNOWN", 502, id="corrupt upstream response"),
        pytest.param(errors.gateway_timeout("why"), "UNKNOWN", 504, id="upstream is silent"),
        pytest.param(errors.unavailable("why", 30), "UNAVAILABLE", 503, id="upstream is down"),
    ],
)
def test_each_refusal_has_its_code_and_status(error: RegistryError, code: str, status: int) -> None:
    assert (error.code, error.status, error.message, str(error)) == (code, status, "why", "why")
    assert code in KNOWN
    assert status not in {401, 429}
    assert not {"WWW-Authenticate", "Content-Type", "Content-Length"} & set(error.headers)


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        pytest.param(errors.unavailable("why", retry_after=30), {"Retry-After": "30"}, id="when to come back"),
        pytest.param(errors.range_invalid("why", size=10), {"Content-Range": "bytes */10"}, id="how much there is"),
        pytest.param(errors.write_unsupported("why"), {"Allow": "GET, HEAD"}, id="what may be done"),
        pytest.param(errors.blob_unknown("why"), {}, id="nothing more"),
    ],
)
def test_a_refusal_tells_in_its_headers_what_helps(error: RegistryError, headers: dict[str, str]) -> None:
    assert error.headers == headers


@given(st.text())
def test_the_body_is_an_oci_error_in_ascii_whatever_the_message(message: str) -> None:
    body = errors.denied(message).body()
    assert json.loads(body) == {"errors": [{"code": "DENIED", "message": message, "detail": None}]}
    assert body.isascii()


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        pytest.param(b'{"errors": [{"code": "DENIED", "message": "not signed"}]}', "DENIED", "not signed", id="both"),
        pytest.param(b'{"errors": [{"code": "DENIED"}]}', "DENIED", "", id="a code"),
        pytest.param(b'{"errors": [{"code": "no code", "message": "why"}]}', "", "why", id="a message"),
        pytest.param(b'{"errors": [{"code": 7, "message": {}}]}', "", "", id="other things"),
        pytest.param(b'{"errors": []}', "", "", id="none"),
        pytest.param(b'{"errors": ["DENIED"]}', "", "", id="a string"),
        pytest.param(b"[]", "", "", id="a list"),
        pytest.param(b"<html>", "", "", id="a page"),
        pytest.param(b"[" * 100_000, "", "", id="deep"),
        pytest.param(b"\xff\xfe", "", "", id="no text"),
        pytest.param(b'{"errors": [{"message": "a\\r\\nb\\u0000c"}]}', "", "a  b c", id="control characters"),
    ],
)
def test_n12_10_somebody_elses_error_is_read_as_far_as_it_can_be(body: bytes, code: str, message: str) -> None:
    found, told = errors.parse_error(body)
    assert (found, errors.told_reason(told)) == (code, message)


def test_n12_10_a_long_reason_is_cut() -> None:
    _, message = errors.parse_error(b'{"errors": [{"message": "' + b"x" * 10_000 + b'"}]}')
    assert len(errors.told_reason(message)) == 300


def test_a_refusal_that_is_kept_keeps_nothing_of_the_request_that_it_ended() -> None:
    try:
        raise errors.loop_detected("why") from ValueError("a request")
    except RegistryError as error:
        kept = error.detached()
    assert (kept.code, kept.status, kept.message, kept.headers) == ("UNKNOWN", 508, "why", {})
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)


def test_n16_05_who_has_used_up_its_quota_is_told_when_to_come_again() -> None:
    error = errors.too_many_requests("too much", 7)
    assert (error.code, error.status, error.headers["Retry-After"]) == ("TOOMANYREQUESTS", 429, "7")
