"""What the benchmarks make of what they measured."""

import gzip
import io
import json
import random
import tarfile
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest

from bench import estargz, goals, growth, growth_report, pulls, report, store
from bench.access import AGAIN, Pair, costs
from bench.caches import CACHES, installed
from bench.figures import Figure, at_least
from bench.growth_series import SERIES
from bench.pairs import row
from bench.ratios import Ratio
from bench.slopes import Line
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


@pytest.mark.parametrize(
    ("figure", "goal", "measured", "reached"),
    [
        (Figure("pull", 1.15, 1.15), "≤ 1.15x", "1.15x", "yes"),
        (Figure("pull", 1.16, 1.15, remark="2 rounds"), "≤ 1.15x", "1.16x (2 rounds)", "no"),
        (Figure("wait", 48.5, 50, "ms"), "≤ 50 ms", "48.5 ms", "yes"),
        (at_least("hits", 0.7, 0.7), "≥ 0.7x", "0.7x", "yes"),
        (at_least("hits", 0.69, 0.7), "≥ 0.7x", "0.69x", "no"),
        (at_least("hits", float("nan"), 0.7), "≥ 0.7x", "nanx", "no"),
    ],
)
def test_a_goal_is_reached_or_not(figure: Figure, goal: str, measured: str, reached: str) -> None:
    assert goals.table({"hits": [figure]}).splitlines()[2] == f"| {figure.what} | {goal} | {measured} | {reached} |"


def test_an_estargz_layer_is_read_file_by_file_and_as_a_whole() -> None:
    """As stargz-snapshotter reads it (docs/estargz.md): the footer, the table of contents, then chunks by where they begin."""
    chance = random.Random(20)
    files = {name: chance.randbytes(size) for name, size in {"empty": 0, "small": 5, "block": 512, "large": 9_000_000}.items()}
    layer, digest = estargz.layer({"first": b"first"}, files)
    body = layer.blob.body
    toc = int(body[-35:-19], 16)
    assert body[-19:-8] == b"STARGZ\x01\x00\x00\xff\xff"
    assert gzip.decompress(body[toc:]).startswith(b"stargz.index.json\0")
    unpacked = gzip.decompress(body)
    assert layer.diff_id == f"sha256:{sha256(unpacked).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as whole:
        packed = {member.name: found.read() for member in whole if (found := whole.extractfile(member))}
    contents = packed.pop("stargz.index.json")
    assert digest == f"sha256:{sha256(contents).hexdigest()}"
    assert packed == {"first": b"first", ".prefetch.landmark": b"\x0f", **files}
    read: dict[str, bytes] = {}
    for entry in json.loads(contents)["entries"]:
        size = entry.get("chunkSize") or entry.get("size", len(packed[entry["name"]])) - entry.get("chunkOffset", 0)
        chunk = gzip.GzipFile(fileobj=io.BytesIO(body[entry["offset"] :])).read(size)
        assert entry["chunkDigest"] == f"sha256:{sha256(chunk).hexdigest()}"
        read[entry["name"]] = read.get(entry["name"], b"") + chunk
    assert read == {name: each for name, each in packed.items() if each}


def test_pulls_are_summed_up_by_how_layers_were_fetched() -> None:
    rounds = [pulls.Pull("parts", 0, 10.0, 11.0, 9.0, 1.0), pulls.Pull("parts", 1, 10.0, 13.0, 9.0, 1.01)]
    cold, hot, factor = pulls.ratios(rounds)["parts"]
    assert cold.median == pytest.approx(1.2)
    assert (hot.median, factor) == (0.9, 1.01)
    assert "| parts | 1.20 | 0.90 | 10.0 | 1.010x |" in report.pulls_table([asdict(each) for each in rounds])


async def test_a_store_that_was_filled_before_is_filled_no_second_time(tmp_path: Path) -> None:
    await store.prepare(root := tmp_path / "60")
    names = store.fill(root, 60)
    assert len(names) == 60
    (blob := root / "blobs" / "sha256" / names[7][:2] / names[7]).unlink()
    assert store.fill(root, 60) == names
    assert not blob.exists()


def test_a_cache_that_is_not_installed_is_left_out_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    missing = replace(CACHES["varnish"], program="varnishd-of-nobody")
    assert list(installed({"regproxy": CACHES["regproxy"], "varnish": missing})) == ["regproxy"]
    assert capsys.readouterr().out == "varnish is left out: apt-get install varnish\n"


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_line_through_what_grows_by_a_power_has_that_slope(power: float) -> None:
    points = [(float(size), 3 * size**power) for size in (1, 10, 100, 1000)]
    line = Line.through(points)
    assert line.slope == pytest.approx(power, abs=1e-9)
    assert line.at(10_000) == pytest.approx(3 * 10_000**power)


def test_a_line_at_the_end_leaves_out_what_does_not_grow_in_small_sizes() -> None:
    points = [(1.0, 5.0), (10.0, 5.0), (100.0, 10.0), (1000.0, 100.0), (10_000.0, 1000.0)]
    assert Line.at_the_end(points[::-1]).slope == pytest.approx(1.0)
    assert Line.through(points).slope < 0.9
    with pytest.raises(ValueError, match="no line"):
        Line.through([(1.0, 5.0), (10.0, 0.0)])


def test_the_page_of_growth_has_slopes_and_what_is_beyond() -> None:
    points = {size: {"s of CPU": 0.01 * size, "MiB of the largest process": 80.0} for size in (100, 1000, 3000)}
    written = growth_report.page({"clients": points, "layers": {1: {"seconds hot": 0.1}}})
    assert "| clients | 100 | 1,000 | 3,000 | slope | at the end | at 10,000 |" in written
    assert "| s of CPU | 1 | 10 | 30 | 1.00 | 1.00 | 100 |" in written
    assert "| seconds hot | 0.1 |  |  |  |" in written
    assert "takes 50 min of CPU for it; its largest process has 80 MiB" in written


async def test_growth_goes_on_with_the_sizes_that_are_not_known() -> None:
    known = {"layers": {size: {"seconds cold": 1.0} for size in SERIES["layers"].quick}}
    assert await growth.measured(["layers"], known, is_quick=True) == known
