"""The files of a runtime on a host: read, replaced at once or not at all, and given back.

Beside a file NAME that is replaced stand `NAME.before-regproxy`, the original, made once and never again, and `NAME.regproxy`, a record of
what was there and what was written. The original comes first, then the record, then the file; whoever is killed between two of them
leaves the file as it was, and both a second apply and an undo go on from there.
"""

import contextlib
import glob
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from regproxy.runtimes.atomic_files import CannotApply, locked, read, replace, sync, text, tried
from regproxy.runtimes.model import Files, Plan, Runtime, Wanted

BACKUP = ".before-regproxy"
RECORD = ".regproxy"

_FOLDER_MODE = 0o755
_MAX_LINKS = 40  # as Linux follows them
_MAX_WRITTEN = 8  # contents of ours that are recognised: the last ones


@dataclass(frozen=True, slots=True)
class Record:
    """What was at a file's place before us, and what we wrote there since; digests are SHA-256 in hex."""

    original: str | None
    written: tuple[str, ...]
    folders: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        told = {"about": "written by regproxy client-config", "original": self.original, "written": self.written, "folders": self.folders}
        return json.dumps(told, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was given back, and what was left alone with the reason."""

    restored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class Host:
    """A host's file system at *root*; or, with *directory*, that one directory of it alone, which *root* then is."""

    def __init__(self, root: Path, directory: str | None = None) -> None:
        self._root = root
        self._directory = directory

    @classmethod
    def at(cls, root: Path, runtime: Runtime) -> "Host":
        """Treat *root* as a host's file system if it has an `etc`, else as the runtime's own directory."""
        return cls(root) if (root / "etc").is_dir() else cls(root, runtime.directory)

    def locate(self, path: str) -> Path:
        """Resolve a file of the host by the host's links and not by ours; raise `CannotApply` where it is out of reach."""
        found, rest, links = self._root, list(reversed(self._below(path))), 0
        while rest:
            name = rest.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                found = found.parent if found != self._root else found
                continue
            link = found / name
            if not link.is_symlink():
                found = link
                continue
            links += 1
            if links > _MAX_LINKS:
                raise CannotApply(f"{link} is a link that leads in a circle")
            target = PurePosixPath(tried("read", link, link.readlink))
            if target.is_absolute():
                if self._directory is not None:
                    raise CannotApply(f"{link} leads to {target}, which is outside {self._root}: name the host's file system by --root")
                found = self._root
            rest += reversed([part for part in target.parts if part != "/"])
        return found

    def _mark(self, path: str) -> Path:
        """Return the path that backup and record lie beside: the one that the runtime reads, be it a link."""
        folder, _, name = path.rpartition("/")
        return self.locate(folder) / name

    def bytes_of(self, path: str) -> bytes | None:
        """Read a file; None where there is none."""
        return read(self.locate(path))

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole file system."""
        return self._directory is None

    @property
    def is_ours(self) -> bool:
        """Whether it is the file system of this very process."""
        return self.is_whole and self._root == Path("/")

    def has(self, path: str) -> bool:
        return self.locate(path).exists()

    def read(self, patterns: Sequence[str]) -> Files:
        """Read the files that match, of a pattern in the order of their names."""
        return {path: text(path, content) for path in self._found(patterns) if (content := self.bytes_of(path)) is not None}

    def current(self, runtime: Runtime, wanted: Wanted) -> Files:
        """Read what stands there now."""
        return self.read(runtime.reads(wanted))

    def originals(self, current: Files) -> Files:
        """Return *current* with originals in place of what we wrote, so that another endpoint replaces the first one."""
        found = dict(current)
        for path in current:
            mark = self._mark(path)
            record = _record_of(mark)
            if record is None or _digest(found[path].encode()) not in record.written:
                continue
            if record.original is None:
                del found[path]
            else:
                found[path] = text(path, _original(mark, record))
        return found

    def apply(self, plan: Plan, current: Files, before_rename: Callable[[Path], None] = lambda _place: None) -> list[str]:
        """Write the files of *plan* that differ, and name them. Raise `CannotApply`; what was written until then can be undone.

        *current* is what the plan was made from; what somebody changed since is not overwritten.
        *before_rename* is called when a file is on disk under its temporary name.
        """
        changed = []
        for planned in plan.files:
            place = self.locate(planned.path)
            if read(place) == planned.text.encode():
                continue
            self._write(planned.path, planned.text.encode(), current.get(planned.path), before_rename)
            changed.append(self.shown(planned.path))
        return changed

    def undo(self, runtime: Runtime) -> Undone:
        """Restore every file that we wrote for *runtime*. Files changed since then are left as they are, and named."""
        undone = Undone()
        for path in self._found([pattern + RECORD for pattern in runtime.writes]):
            self._give_back(path.removesuffix(RECORD), undone)
        return undone

    def shown(self, path: str) -> str:
        return str(self._root.joinpath(*self._below(path)))

    def _give_back(self, path: str, undone: Undone) -> None:
        place, mark, shown = self.locate(path), self._mark(path), self.shown(path)
        backup = _beside(mark, BACKUP)
        with locked(mark.parent):
            record = _record_of(mark)
            if record is None:
                return
            current = read(place)
            is_ours = current is not None and _digest(current) in record.written
            is_original = (None if current is None else _digest(current)) == record.original
            if is_original:
                tried("remove", backup, lambda: backup.unlink(missing_ok=True))
            elif record.original is not None and (is_ours or current is None):
                original = _original(mark, record)
                if place.parent != mark.parent:  # another file system, maybe
                    replace(place, original, backup)
                    with contextlib.suppress(OSError):
                        shutil.copystat(backup, place)
                tried("restore", place, lambda: backup.replace(place) if place.parent == mark.parent else backup.unlink())
                undone.restored.append(shown)
            elif is_ours:
                tried("remove", place, place.unlink)
                undone.removed.append(shown)
            else:
                before = f"the original is {backup}; compare them, and move it back" if record.original else "there was no such file before"
                undone.kept.append(
                    f"{shown} was changed after regproxy wrote it, and is left as it is: {before}, then remove {place}{RECORD}"
                )
                return
            tried("remove", mark, lambda: _beside(mark, RECORD).unlink(missing_ok=True))
            sync(mark.parent)
        for folder in reversed(record.folders):
            with contextlib.suppress(OSError, CannotApply):  # others may have put something there
                self.locate(folder).rmdir()

    def _write(self, path: str, content: bytes, seen: str | None, before_rename: Callable[[Path], None]) -> None:
        place, mark = self.locate(path), self._mark(path)
        folders = self._make_folders(place.parent)
        with locked(mark.parent):
            current = read(place)
            if current == content:
                return
            if current != (None if seen is None else seen.encode()):
                raise CannotApply(f"{place} was changed while it was looked at: run this again")
            record = _record_of(mark)
            backup = _beside(mark, BACKUP)
            if record is None:
                if current is not None:
                    _keep(place, current, backup)
                record = Record(None if current is None else _digest(current), (), folders)
            written = tuple(dict.fromkeys((*record.written, _digest(content))))[-_MAX_WRITTEN:]
            replace(_beside(mark, RECORD), Record(record.original, written, record.folders).to_json(), None)
            replace(place, content, place if current is not None else None, before_rename)

    def _make_folders(self, folder: Path) -> tuple[str, ...]:
        missing = []
        while not folder.exists() and folder != self._root:
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            tried("make", each, partial(each.mkdir, exist_ok=True))
            tried("make", each, partial(each.chmod, _FOLDER_MODE))
        prefix = "" if self._directory is None else self._directory + "/"
        return tuple(prefix + str(each.relative_to(self._root)) for each in reversed(missing))

    def _below(self, path: str) -> tuple[str, ...]:
        if self._directory is None:
            return PurePosixPath(path).parts
        try:
            return PurePosixPath(path).relative_to(self._directory).parts
        except ValueError:
            raise CannotApply(
                f"/{path} is outside {self._root}, which stands for /{self._directory}: name the host's file system by --root"
            ) from None

    def _found(self, patterns: Sequence[str]) -> list[str]:
        """List the files that match, of a pattern in the order of their names; a pattern out of reach matches none."""
        found: list[str] = []
        for pattern in patterns:
            parent, name = str(PurePosixPath(pattern).parent), PurePosixPath(pattern).name
            parents = [parent] if not glob.has_magic(parent) else self._folders(parent)
            for each in parents:
                with contextlib.suppress(CannotApply):
                    place = self.locate(each)
                    if glob.has_magic(name):
                        found += [f"{each}/{file.name}" for file in sorted(place.glob(name))]
                    elif self.locate(f"{each}/{name}").exists():
                        found.append(f"{each}/{name}")
        return list(dict.fromkeys(found))

    def _folders(self, pattern: str) -> list[str]:
        parent, _, name = pattern.rpartition("/")
        with contextlib.suppress(CannotApply):
            return [f"{parent}/{folder.name}" for folder in sorted(self.locate(parent).glob(name)) if folder.is_dir()]
        return []


def _record_of(mark: Path) -> Record | None:
    path = _beside(mark, RECORD)
    content = read(path)
    if content is None:
        return None
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    match told:
        case {"original": str() | None as original, "written": list(written), "folders": list(folders)} if all(
            isinstance(each, str) for each in (*written, *folders)
        ):
            return Record(original, tuple(written), tuple(folders))
    raise CannotApply(f"{path} is not a record of ours: see whether {mark}{BACKUP} is the original, then remove both by hand")


def _original(mark: Path, record: Record) -> bytes:
    """Read the original; raise `CannotApply` where it is gone or another."""
    backup = _beside(mark, BACKUP)
    content = read(backup)
    if content is None or _digest(content) != record.original:
        state = "is gone" if content is None else "was changed"
        raise CannotApply(f"{backup} {state}, so {mark} cannot be given back: write it by hand, then remove {mark}{RECORD}")
    return content


def _keep(place: Path, current: bytes, backup: Path) -> None:
    """Make the one backup. An older one with other content is an original: it is not overwritten."""
    kept = read(backup)
    if kept is not None and kept != current:
        raise CannotApply(f"{backup} is there, and nothing says of what: move it away, or to {place}, and run this again")
    if kept is None:
        replace(backup, current, place)
        with contextlib.suppress(OSError):  # times, and what a security module attached
            shutil.copystat(place, backup)


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
