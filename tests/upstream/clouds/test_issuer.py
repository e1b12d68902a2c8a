from pathlib import Path

import pytest

from regproxy.ports import Unavailable, UnexpectedResponse
from regproxy.upstream.clouds.issuer import seconds_left, text_of, token_in
from regproxy.upstream.clouds.service import CloudAnswer

NOW = 1_785_585_600.0
ANSWER = CloudAnswer("the cloud", 200, {}, b"", NOW)


@pytest.mark.parametrize(
    "end",
    [
        NOW + 60,
        int(NOW + 60),
        str(int(NOW + 60)),
        (NOW + 60) * 1000,
        "2026-08-01T12:01:00Z",
        "2026-08-01T12:01:00",
        "2026-08-01T20:01:00+08:00",
    ],
)
def test_n19_01_an_end_is_read_in_seconds_milliseconds_and_as_a_time(end: object) -> None:
    assert seconds_left(ANSWER, end) == 60


@pytest.mark.parametrize("end", [None, True, "soon", {}])
def test_n19_01_an_end_that_is_none_is_an_error(end: object) -> None:
    with pytest.raises(UnexpectedResponse, match="does not say when"):
        seconds_left(ANSWER, end)


@pytest.mark.parametrize("end", [NOW, NOW - 5, float("nan"), "2026-08-01T11:59:59Z"])
def test_n19_01_what_is_over_already_is_an_error_of_clocks(end: object) -> None:
    with pytest.raises(UnexpectedResponse, match="is over already: check its clock, and ours"):
        seconds_left(ANSWER, end)


def test_n19_01_an_end_that_is_absurd_is_soon_enough() -> None:
    assert seconds_left(ANSWER, "9" * 400) == 7 * 86_400


def test_n19_01_a_text_is_one_that_can_be_sent() -> None:
    assert text_of(ANSWER, {"a": {"b": "x"}}, "a", "b") == "x"
    for document in ({}, {"a": 5}, {"a": {"b": "two words"}}, {"a": {"b": "line\r\nbreak"}}, {"a": {"b": ""}}, {"a": {"b": "x" * 20_000}}):
        with pytest.raises(UnexpectedResponse, match=r"without a\.b"):
            text_of(ANSWER, document, "a", "b")


async def test_n19_01_a_token_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for text in ("canary-one\n", "canary-two"):
        path.write_text(text)
        assert await token_in(path, "the Pod") == text.strip()


async def test_n19_01_a_file_without_a_token_is_named(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content in (b"", b"canary two words", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(Unavailable, match="token of the Pod") as raised:
            await token_in(path, "the Pod")
        assert "canary" not in str(raised.value)
    with pytest.raises(Unavailable, match="No such file"):
        await token_in(tmp_path / "nowhere", "the Pod")
    with pytest.raises(Unavailable, match="there is no file"):
        await token_in(None, "the Pod")
