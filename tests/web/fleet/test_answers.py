import pytest
from aiohttp import web

from regproxy.peers.key_values import NONE
from regproxy.peers.keys import ANSWER, Sealed
from regproxy.peers.reply import BUSY, BYTES, FAILED, MISDIRECTED, OUTCOME, PENDING
from regproxy.web.fleet.answers import headed, short

SEALED = Sealed("nonce", b"k" * 32)


@pytest.mark.parametrize(("outcome", "status"), [(BYTES, 200), (PENDING, 200), (NONE, 404), (MISDIRECTED, 421), (BUSY, 503), (FAILED, 503)])
def test_n17_20_an_answer_says_its_outcome_with_a_mac_of_that_and_of_its_status(outcome: str, status: int) -> None:
    for response in (short(SEALED, outcome, b"body"), headed(web.StreamResponse(), SEALED, outcome)):
        assert (response.status, response.headers[OUTCOME]) == (status, outcome)
        SEALED.check(response.headers[ANSWER], str(status), outcome, "")
    assert short(SEALED, outcome, b"body").body == b"body"
