"""What every secret of the tests has in it, so that it is recognised wherever it turns up."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

CANARY = "canary"
_LARGEST = 256 * 1024 * 1024  # bytes of a file that is read


def _forms() -> Iterator[bytes]:
    """List how it looks in plain and in base64, where it may begin at any of three places."""
    yield CANARY.encode()
    for before in range(3):
        # Six bits of the character before it and of the one after are not ours.
        encoded = base64.b64encode(b"\0" * before + CANARY.encode())
        yield encoded.rstrip(b"=")[(4 * before + 2) // 3 : -1 if (before + len(CANARY)) % 3 else None]


_TOLD = re.compile(b"|".join(map(re.escape, _forms())))


def told(text: str | bytes) -> str | None:
    """Give the surroundings of a canary, if there is one."""
    content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    found = _TOLD.search(content)
    return None if found is None else repr(content[max(0, found.start() - 100) : found.end() + 50])


def found_below(folder: Path) -> list[str]:
    """Look into the stores and logs below a folder."""
    roots = {path.parent for path in folder.rglob("index.db*")}
    files = {path for root in roots for path in root.rglob("*")} | set(folder.rglob("*.log"))
    return [f"in {path.relative_to(folder)}: {found}" for path in sorted(files) if (found := told(_content(path)))]


def _content(path: Path) -> bytes:
    """Read a file, unless it is large, or none, or gone by now."""
    try:
        if not path.is_file() or path.is_symlink() or path.stat().st_size > _LARGEST:
            return b""
        return path.read_bytes()
    except OSError:
        return b""
