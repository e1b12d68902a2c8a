"""Sizes, durations and shares in the configuration."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.config import Address
from regproxy.config.units import duration_text, seconds, share, share_text, size, size_text
from regproxy.policy.credential import Credential, Secret
from tests.config.loaded import settings, upstream


class TestValues:
    """What a single value may be."""

    @pytest.mark.parametrize(
        ("text", "value"), [("250ms", 0.25), ("5s", 5.0), ("1.5s", 1.5), ("5m", 300.0), ("12h", 43_200.0), ("7d", 604_800.0), ("0s", 0.0)]
    )
    def test_a_duration_has_a_number_and_a_unit(self, text: str, value: float) -> None:
        assert seconds(text) == value

    @given(st.one_of(st.integers(0, 10**9).map(float), st.integers(0, 10**7).map(lambda number: number / 1000)))
    def test_a_duration_reads_as_it_was_written(self, duration: float) -> None:
        assert seconds(duration_text(duration)) == pytest.approx(duration, rel=1e-12)

    @pytest.mark.parametrize(("text", "count"), [("1B", 1), ("1.5KiB", 1536), ("200GiB", 200 * 2**30), ("2TiB", 2 * 2**40)])
    def test_a_size_has_a_number_and_a_binary_unit(self, text: str, count: int) -> None:
        assert size(text) == count

    @given(st.integers(1, 2**50))
    def test_a_size_reads_as_it_was_written(self, count: int) -> None:
        assert size(size_text(count)) == count

    @given(st.integers(1, 100))
    def test_a_share_reads_as_it_was_written(self, percent: int) -> None:
        assert share(share_text(percent / 100)) == percent / 100

    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("127.0.0.1:0", Address("127.0.0.1", 0)),
            ("'[::]:5000'", Address("::", 5000)),
            ("localhost:80", Address("localhost", 80)),
        ],
        ids=["any free port", "IPv6", "a name"],
    )
    def test_an_address_is_a_host_and_a_port(self, file: Path, text: str, address: Address) -> None:
        found = settings(file, f"listen: {text}").listen
        assert found == address
        assert str(found) == text.strip("'")

    @pytest.mark.parametrize("text", ["no", "0123", "12:30", "1e3", "2026-01-01"], ids=str)
    def test_yaml_does_not_guess_what_a_password_is(self, file: Path, text: str) -> None:
        found = settings(file, f"upstreams: {{quay.io: {{credentials: {{username: {text}, password: {text}}}}}}}")
        assert upstream(found, "quay.io").hosts[0].credential == Credential(text, Secret(text))

    def test_what_a_variable_holds_is_text_not_yaml(self, file: Path) -> None:
        value = "{a: ${HOME}, *b} # c"
        text = 'upstreams: {quay.io: {credentials: {username: u, password: "x${SECRET}y"}}}'
        found = settings(file, text, {"SECRET": value})
        assert upstream(found, "quay.io").hosts[0].credential == Credential("u", Secret(f"x{value}y"))

    def test_anchors_and_merges_work(self, file: Path) -> None:
        text = "upstreams:\n  quay.io: &mine {tags: [{fresh_for: 1s}], deny: [a]}\n  ghcr.io:\n    <<: *mine\n    deny: [b]\n"
        found = upstream(settings(file, text), "ghcr.io")
        assert (found.tags[0].fresh_for, found.deny) == (1.0, ("b",))

    def test_one_process_may_be_asked_for(self, file: Path) -> None:
        assert [settings(file, f"workers: {count}").workers for count in (1, "'16'", "auto")] == [1, 16, "auto"]
