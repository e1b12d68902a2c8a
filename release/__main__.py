"""`python -m release`: wheel, sdist, chart package, bill of materials and checksums in dist/; the same bytes each time."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release.archives import repack, write_tar_gz
from release.bill import bill_of_materials
from release.project import DIST, copy_sources, epoch, version


def build(to: Path) -> list[Path]:
    """Make every file of a release in the empty folder *to*, and return their paths, the checksums last."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "regproxy"
        copy_sources(source)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "PYTHONWARNINGS": "ignore"}
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            to,
            source,
        ]  # what it is built with is pinned already
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        [sdist] = to.glob("*.tar.gz")
        repack(sdist, epoch())
        _chart(source / "deploy" / "helm" / "regproxy", to / f"regproxy-{version()}.tgz")
        (to / f"regproxy-{version()}.cdx.json").write_text(bill_of_materials(version(), source / "requirements" / "run.txt", epoch()))
    return [*sorted(to.iterdir()), checksums(to)]


def checksums(folder: Path) -> Path:
    """Write SHA256SUMS, as `sha256sum --check` reads it, for every other file of *folder*."""
    sums = folder / "SHA256SUMS"
    files = [path for path in sorted(folder.iterdir()) if path != sums]
    sums.write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in files))
    return sums


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chart(chart: Path, to: Path) -> None:
    """Pack a chart as `helm package` does, Chart.yaml first."""
    paths = sorted((path for path in chart.rglob("*") if path.is_file()), key=lambda path: (path.name != "Chart.yaml", path))
    files = [(f"{chart.name}/{path.relative_to(chart)}", path.read_bytes(), 0o644) for path in paths]
    write_tar_gz(to, files, epoch())


if __name__ == "__main__":
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for made in build(DIST):
        print(made.relative_to(DIST.parent))  # noqa: T201
