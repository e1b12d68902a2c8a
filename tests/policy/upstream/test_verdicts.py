import pytest

from regproxy.policy.upstream.verdicts import Meaning, client_code, client_status, meaning

ABOUT_ONE_THING = [400, 402, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 431, 451, 499]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        *((status, Meaning.SUCCESS) for status in (200, 203, 206)),
        *((status, Meaning.UNEXPECTED) for status in (204, 205, 300, 301, 302, 303, 304, 305, 306, 307, 308)),
        *((status, Meaning.REJECTED) for status in ABOUT_ONE_THING),
        *((status, Meaning.REFUSED) for status in (401, 403)),
        *((status, Meaning.OUTAGE) for status in (407, 408, 500, 501, 502, 503, 504, 599, 999)),
        (404, Meaning.NOT_FOUND),
        (429, Meaning.THROTTLED),
        (508, Meaning.LOOP),
    ],
)
def test_n12_10_a_status_is_an_answer_or_an_outage(status: int, said: Meaning) -> None:
    assert meaning(status) is said


@pytest.mark.parametrize("status", range(400, 500))
def test_n12_10_a_client_is_never_told_what_makes_it_log_in_or_ask_again(status: int) -> None:
    told = client_status(status)
    assert 400 <= told < 500
    assert told not in {401, 404, 407, 408, 416, 426, 429}


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        pytest.param(412, "PROJECTPOLICYVIOLATION", "PROJECTPOLICYVIOLATION", id="upstream's own"),
        pytest.param(412, "", "DENIED", id="none: a policy"),
        pytest.param(406, "", "UNSUPPORTED", id="none: a kind"),
        pytest.param(410, "", "UNKNOWN", id="none"),
        pytest.param(400, "UNAUTHORIZED", "UNKNOWN", id="log in"),
        pytest.param(402, "TOOMANYREQUESTS", "DENIED", id="ask again"),
    ],
)
def test_n12_10_the_code_is_upstreams_where_that_is_harmless(status: int, said: str, told: str) -> None:
    assert client_code(status, said) == told
