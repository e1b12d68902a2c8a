"""`python -m release.image FOLDER [OPTIONS]`: the container image, tagged with the version, as FOLDER/regproxy-VERSION-image.tar."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from release.__main__ import checksums
from release.project import ROOT, epoch, revision, version

PLATFORMS: Final = "linux/amd64,linux/arm64"
_OF_ENVIRONMENT: Final = (
    "BASE_IMAGE",
    "PIP_INDEX_URL",
    "BUILD_CA",
)  # arguments of the Dockerfile; a bundle has lines, which make cannot pass


def build(to: Path, options: Sequence[str]) -> None:
    """Build with docker buildx for all platforms, an OCI archive; without buildx for this machine's, an archive for `docker load`.

    *options* are passed on to the build, and so are those arguments of it that the environment has. Raise CalledProcessError where
    docker fails; it has said why then.
    """
    to.mkdir(exist_ok=True)
    archive = to / f"regproxy-{version()}-image.tar"
    tag = f"regproxy:{version()}"
    common = [f"--label=org.opencontainers.image.version={version()}", f"--label=org.opencontainers.image.revision={revision()}"]
    common += [f"--build-arg={name}" for name in _OF_ENVIRONMENT if name in os.environ]
    if _has_buildx():
        target = [
            f"--platform={PLATFORMS}",
            f"--output=type=oci,dest={archive},rewrite-timestamp=true",
            f"--build-arg=SOURCE_DATE_EPOCH={epoch()}",
        ]
        _docker("buildx", "build", *target, *common, f"--tag={tag}", *options, ".")
    else:
        _docker("build", *common, f"--tag={tag}", *options, ".")
        _docker("save", "--output", str(archive), tag)
    checksums(to)


def _has_buildx() -> bool:
    return subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0  # noqa: S607


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], cwd=ROOT, check=True)  # noqa: S603, S607


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]), sys.argv[2:])
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None
