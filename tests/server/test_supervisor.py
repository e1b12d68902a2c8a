"""What may change while the program runs."""

import logging
from pathlib import Path

import pytest

from regproxy.config import Settings, load
from regproxy.server.supervisor import admissible


def _settings(path: Path, text: str) -> Settings:
    path.write_text(text)
    return load(path, {})


def test_what_was_opened_before_the_first_worker_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "regproxy.yaml"
    old = _settings(file, f"{{workers: 2, store: {{root: {tmp_path / 'a'}}}}}")
    redis = "redis: {url: redis://127.0.0.1, key: canary-key-1f0123456789abcdef0123456789abcdef}"
    new = _settings(file, f"{{workers: 3, {redis}, drain: 5s, store: {{root: {tmp_path / 'b'}, max_size: 1GiB}}}}")
    with caplog.at_level(logging.INFO):
        found = admissible(old, new)
    assert (found.workers, found.redis, found.store.root) == (2, None, tmp_path / "a")
    assert (found.drain, found.store.max_size) == (5.0, 1 << 30)
    (record,) = caplog.records
    assert record.fields["settings"] == "workers, redis, store.root"  # type: ignore[attr-defined]
    assert "canary" not in caplog.text


def test_nothing_is_said_where_all_of_it_may_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "regproxy.yaml"
    old, new = (_settings(file, f"{{drain: {drain}, store: {{root: {tmp_path}}}}}") for drain in ("1s", "2s"))
    assert admissible(old, new).drain == 2.0
    assert caplog.records == []
