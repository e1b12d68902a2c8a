"""What the benchmarks make of what they measured."""

import random
from dataclasses import asdict

import pytest

from bench import report
from bench.access import AGAIN, Pair, costs
from bench.pairs import row
from bench.ratios import Ratio
from bench.warm import Slowdown, WarmUp


def test_the_interval_of_ratios_holds_the_true_one_and_leaves_out_what_a_loaded_machine_did() -> None:
    dice = random.Random(16)
    samples = [[dice.lognormvariate(0.0, 0.2) for _ in range(40)] for _ in range(200)]  # with a median of 1
    found = [Ratio.of(sample) for sample in samples]
    assert sum(ratio.low <= 1.0 <= ratio.high for ratio in found) > 180
    assert all(min(sample) < ratio.low <= ratio.median <= ratio.high < max(sample) for sample, ratio in zip(samples, found, strict=True))
    assert Ratio.of([0.9, 1.3]) == Ratio(1.1, 0.9, 1.3, 2)  # too few to leave one out


@pytest.mark.parametrize(
    ("ratios", "rate", "time"),
    [
        ([1.2, 1.1, 1.3], "better", "worse"),
        ([0.8, 0.9, 0.7], "worse", "better"),
        ([0.9, 1.1, 1.2], "within noise", "within noise"),
        ([1.0, 1.1, 1.2], "within noise", "within noise"),
    ],
)
def test_a_row_says_whether_it_moved_beyond_noise(ratios: list[float], rate: str, time: str) -> None:
    ratio = Ratio.of(ratios)
    assert row("blob, rate", ratio, is_better_low=False).endswith(f"({ratio.low:.3f} to {ratio.high:.3f}, 3 pairs)  {rate}")
    assert row("blob, time", ratio, is_better_low=True).endswith(f"  {time}")


def test_pairs_of_one_case_and_set_up_are_summed_up_together() -> None:
    pairs = [Pair(case, AGAIN, 20.0, ratio, 1.0) for case in ("tag", "blob") for ratio in (1.0, 1.02, 1.04)]
    assert {key: cost.cpu.median for key, cost in costs(pairs).items()} == {("tag", AGAIN): 1.02, ("blob", AGAIN): 1.02}


def test_a_report_has_the_rows_of_a_warm_up_and_of_access() -> None:
    pairs = [asdict(Pair("tag", AGAIN, 20.0, ratio, 1.0)) for ratio in (1.0, 1.02, 1.04)]
    turns = tuple(Slowdown(2.0, each, 1.0) for each in (2.0, 2.2, 2.4))
    warmed = asdict(WarmUp(40, 390.0, 30.0, 1.0, 40, 0, 1.01, turns))
    written = report.access_table(pairs) + report.warm_table([warmed])
    assert "| tag | nobody is asked, again | 1.020 | 1.000 to 1.040 |" in written
    assert "| 40 | 390 | 30.0 | 1.00x | 40 | 0 | 2.00 | 2.20 | 1.10 | 1.00 to 1.20 | 1.01x |" in written
