import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.upstream.tokens import is_token, issued

NOW = 1_785_585_600.0


@pytest.mark.parametrize(
    ("life", "use"),
    [
        pytest.param(300, 270, id="Docker Hub's"),
        pytest.param(None, 270, id="not said, as quay does"),
        pytest.param(0, 270, id="zero"),
        pytest.param(-5, 270, id="negative"),
        pytest.param("300", 270, id="text"),
        pytest.param(True, 270, id="a truth"),
        pytest.param(float("nan"), 270, id="no number at all"),
        pytest.param(1, 54, id="too short to be meant"),
        pytest.param(1e9, 0.9 * 43_200, id="thirty years"),
        pytest.param(float("inf"), 0.9 * 43_200, id="for ever"),
        pytest.param(10**400, 0.9 * 43_200, id="more than a float holds"),
    ],
)
def test_a_token_is_used_for_most_of_a_sane_life(life: object, use: float) -> None:
    assert issued("t", life, NOW, 0.5).expires_at == pytest.approx(NOW + use)


@given(st.none() | st.integers() | st.floats(), st.floats(0, 1))
def test_a_token_is_renewed_between_its_birth_and_its_end(life: object, chance: float) -> None:
    token = issued("t", life, NOW, chance)
    assert NOW < token.renew_at < token.expires_at


def test_two_tokens_of_one_moment_are_not_renewed_at_one_moment() -> None:
    assert issued("t", 300, NOW, 0.0).renew_at < issued("t", 300, NOW, 1.0).renew_at


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a.b-c", True), ("", False), ("a b", False), ("a\n", False), ("\u00e9", False), (None, False), (b"a", False), ("a" * 16_385, False)],
)
def test_only_what_can_be_sent_in_a_header_is_a_token(value: object, *, expected: bool) -> None:
    assert is_token(value) is expected


def test_a_token_is_sent_as_a_bearer_token() -> None:
    assert issued("canary-token", 300, NOW, 0.5).bearer() == "Bearer canary-token"
