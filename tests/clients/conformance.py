"""The OCI's own conformance suite, run against what may only be read."""

import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from .images import Image

_CASE = re.compile(r"^ *OCI Conformance Test/(.+): (\w+)$", re.MULTILINE)


class Report(NamedTuple):
    """What the suite found: the text it prints, and the cases of each status."""

    text: str
    cases: dict[str, set[str]]


def judge(suite: Path, authority: str, prefix: str, images: list[Image], folder: Path) -> Report:
    """Run the suite over *images* of one repository, found below *prefix*.

    Its exit code says nothing: in this mode it panics once the report is printed. OCI_VERSION=dev wants headers and does not
    find them, although they are sent; the tests beside this one look at them.
    """
    [repository] = {image.repository for image in images}
    manifests = [manifest.digest for image in images for manifest in image.manifests]
    settings = {
        "REGISTRY": authority,
        "TLS": "disabled",
        "REPO1": prefix + repository,
        "REPO2": prefix + repository,
        "VERSION": "1.1",
        "API_PUSH": "false",
        "API_BLOBS_DELETE": "false",
        "API_MANIFESTS_DELETE": "false",
        "API_TAGS_DELETE": "false",
        "RO_DATA_TAGS": " ".join(image.reference for image in images),
        "RO_DATA_MANIFESTS": " ".join(manifests),
        "RO_DATA_BLOBS": " ".join(blob.digest for image in images for blob in image.blobs),
        "RO_DATA_REFERRERS": " ".join(manifests),
        "RESULTS_DIR": str(folder),
    }
    env = dict(os.environ, **{f"OCI_{name}": value for name, value in settings.items()})
    done = subprocess.run([suite], env=env, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    return read_report(done.stdout, done.stderr)


def read_report(printed: str, complained: str) -> Report:
    """Read what the suite *printed*."""
    cases: dict[str, set[str]] = defaultdict(set)
    for name, status in _CASE.findall(printed):
        cases[status].add(name)
    return Report(printed + complained, cases)
