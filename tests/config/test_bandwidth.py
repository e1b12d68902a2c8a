"""How much upstreams may send, in the configuration."""

from pathlib import Path

import pytest

from regproxy.config import load
from regproxy.policy.upstream.bandwidth import LineRate
from tests.config.loaded import mistakes, settings, upstream

MIB = 2**20


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("20MiB", ((0, 20 * MIB),)),
        ("{'08:00': 5MiB, '19:30': none}", ((480, 5 * MIB), (1170, None))),
        ("{19:30: none, 08:00: 5MiB}", ((480, 5 * MIB), (1170, None))),
    ],
)
def test_n19_03_a_rate_is_a_size_or_one_for_each_time_of_day(file: Path, text: str, steps: tuple[tuple[int, int | None], ...]) -> None:
    found = settings(file, f"downloads: {{max_rate: {text}}}\nupstreams: {{quay.io: {{max_rate: {text}}}}}")
    assert found.downloads.max_rate == LineRate(steps)
    assert upstream(found, "quay.io").max_rate == LineRate(steps)
    assert upstream(found, "ghcr.io").max_rate is None
    file.write_text(found.as_yaml())
    assert load(file, {}) == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fast", "downloads.max_rate: 'fast' is not a size such as 512MiB, 200GiB, 200GB or 2TiB"),
        ("1KiB", "downloads.max_rate: '1KiB' is less than 256KiB, with which downloads would stall"),
        ("{'24:00': 1MiB}", "downloads.max_rate: has '24:00', which is no time of day such as 08:00"),
        ("{}", 'downloads.max_rate: is not a mapping of up to 48 times of day, such as {"08:00": 5MiB, "19:00": none}'),
    ],
)
def test_n19_03_a_mistake_about_a_rate_is_one_line(file: Path, text: str, line: str) -> None:
    assert mistakes(file, f"downloads: {{max_rate: {text}}}") == [f"FILE: {line}"]
