"""The bill of materials: a CycloneDX document of what the image and `make run` install."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from packaging.markers import Marker

_NAMESPACE = uuid.UUID("0d2c3c0e-6f0a-5d3e-9a51-5f2f8f3f2f5b")
# What the image is: pins for other systems are no part of it.
_IMAGE = {
    "sys_platform": "linux",
    "os_name": "posix",
    "platform_system": "Linux",
    "python_version": "3.13",
    "python_full_version": "3.13.0",
}


def bill_of_materials(version: str, requirements: Path, epoch: int) -> str:
    """Return the document as JSON (CycloneDX 1.6, ECMA-424): the packages that *requirements* pins, each with the hashes of its files."""
    components = [_component(*pin) for pin in _pins(requirements.read_text())]
    name = f"pkg:pypi/regproxy@{version}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([name, components]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": "regproxy",
                "version": version,
                "purl": name,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
    }
    return json.dumps(document, indent=2) + "\n"


def _component(name: str, version: str, hashes: list[str]) -> Mapping[str, object]:
    purl = f"pkg:pypi/{name}@{version}"
    files = [{"alg": "SHA-256", "content": each} for each in hashes]
    reference = {"type": "distribution", "url": f"https://pypi.org/project/{name}/{version}/", "hashes": files}
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "externalReferences": [reference]}


def _pins(text: str) -> Iterator[tuple[str, str, list[str]]]:
    for entry in re.sub(r" *\\\n +", " ", text).splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==(\S+)(?: ; ([^\\]*?))?(?= --hash)", entry)
        if found and (not found[3] or Marker(found[3]).evaluate(_IMAGE)):
            yield found[1], found[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
