"""Credentials that a host refuses."""

import pytest

from regproxy.policy.credential import Credential, Secret
from regproxy.policy.upstream.tokens import WRONG_FOR
from regproxy.upstream.auth.credential_state import CredentialState


def test_a_refusal_is_shown_until_the_account_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    state = CredentialState("docker.io", "registry-1.docker.io", lambda: 0.0)
    state.refused("me", "401")
    state.refused("me", "401 again")
    assert (state.reason, caplog.text.count("credentials refused")) == ("401 again", 1)
    state.accepted("another")
    assert state.reason
    state.accepted("me")
    assert state.reason == ""


def test_n19_01_a_refusal_of_what_was_replaced_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    old = Credential("user", Secret("canary-old"))
    state = CredentialState("docker.io", "registry-1.docker.io", lambda: 0.0)
    state.refused(("https://auth.docker.io", old), "401")
    state.withdrawn(Credential("user", Secret("another")))
    assert state.reason
    state.withdrawn(old)
    assert state.reason == ""
    assert "refused credentials replaced" in caplog.text


def test_a_refusal_of_what_is_used_no_longer_is_over_by_itself() -> None:
    now = 0.0
    state = CredentialState("docker.io", "registry-1.docker.io", lambda: now)
    state.refused("old", "401")
    now = 2 * WRONG_FOR - 1
    assert state.reason
    now += 1
    assert state.reason == ""
