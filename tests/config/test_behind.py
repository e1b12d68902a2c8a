"""The settings of an object store behind the disk."""

from pathlib import Path

import pytest

from tests.config.loaded import mistakes, settings

KEY = "canary 0123456789abcdef0123456789"


def text(**entries: str) -> str:
    lines = {"url": "s3://bucket/regproxy", "key": KEY, **entries}
    return "store:\n  behind:\n" + "".join(f"    {name}: {value}\n" for name, value in lines.items())


def test_n17_04_its_key_is_not_shown(file: Path) -> None:
    found = settings(file, text())
    assert found.store.behind is not None
    assert found.store.behind.key == KEY
    assert found.effective()["store"]["behind"]["key"] == "***"
    assert "canary" not in found.as_yaml() + repr(found)


@pytest.mark.parametrize("url", ["s3://bucket", "gs://my.bucket/a/b", "az://container/cache/"])
def test_n17_04_a_bucket_of_three_clouds_is_taken(file: Path, url: str) -> None:
    found = settings(file, text(url=url))
    assert found.store.behind is not None
    assert found.store.behind.url == url.rstrip("/")


@pytest.mark.parametrize(
    ("entries", "mistake"),
    [
        ({"url": "https://bucket/regproxy"}, "must be s3://, gs:// or az:// and a bucket"),
        ({"url": "s3://user:canary@bucket"}, "must be s3://, gs:// or az:// and a bucket"),
        ({"url": "s3://bucket/../x"}, "has a path that is no prefix"),
        ({"url": "s3://bucket/a?key=canary"}, "has a path that is no prefix"),
        ({"url": "gs://bucket", "endpoint": "http://127.0.0.1:1"}, "is not for gs://"),
        ({"key": "canary"}, "is no key"),
        ({"redirect": "sometimes"}, "store.behind.redirect"),
    ],
)
def test_n17_04_a_mistake_is_one_line(file: Path, entries: dict[str, str], mistake: str) -> None:
    [line] = mistakes(file, text(**entries))
    assert mistake in line
    assert "canary" not in line
