"""What a generation promises: every process sees at once that another one has begun, and none comes twice."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from regproxy.index.generation import Generation
from regproxy.ports import StoreError

_ADVANCE = "import sys; from pathlib import Path; from regproxy.index.generation import Generation; Generation(Path(sys.argv[1])).advance()"


@pytest.fixture
def generation(tmp_path: Path) -> Iterator[Generation]:
    with closing(Generation(tmp_path / "generation")) as generation:
        yield generation


def test_a_generation_stays_until_another_begins(generation: Generation) -> None:
    before = generation.current()
    assert generation.current() == before
    generation.advance()
    assert generation.current() != before


def test_another_process_begins_one_for_all(generation: Generation, tmp_path: Path) -> None:
    before = generation.current()
    subprocess.run([sys.executable, "-c", _ADVANCE, str(tmp_path / "generation")], check=True)
    assert generation.current() != before


def test_all_see_the_same(generation: Generation, tmp_path: Path) -> None:
    with closing(Generation(tmp_path / "generation")) as other:
        assert other.current() == generation.current()
        other.advance()
        assert other.current() == generation.current()


def test_a_writer_who_had_looked_long_ago_brings_no_generation_back(generation: Generation, tmp_path: Path) -> None:
    """A number that is read and raised would come twice where two raise it at once; remembered answers would be true again."""
    with closing(Generation(tmp_path / "generation")) as other:
        seen = set()
        for _ in range(1000):
            generation.advance()
            seen.add(generation.current())
            other.advance()
            seen.add(generation.current())
    assert len(seen) == 2000


def test_a_generation_ends_even_where_what_ends_it_fails(generation: Generation) -> None:
    before = generation.current()
    with pytest.raises(KeyError), generation.ending():
        raise KeyError
    assert generation.current() != before


def test_a_place_that_cannot_be_written_is_trouble_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Generation(tmp_path / "missing" / "generation")
