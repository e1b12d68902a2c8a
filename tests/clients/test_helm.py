"""helm pulls a chart by path, and again with its registry down."""

import json
from pathlib import Path

from .content import OCI_MANIFEST, Blob, gzip_layer, manifest
from .go_programs import go_program
from .images import Image
from .processes import run
from .proxy import NAMED, Proxy
from .registry import Registry

_ABOUT = {"apiVersion": "v2", "name": "demo", "version": "1.0.0"}
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"


def _chart() -> Image:
    content = gzip_layer(_CONTENT, {"demo/Chart.yaml": json.dumps(_ABOUT).encode(), "demo/values.yaml": b"{}"}).blob
    settings = Blob(_CONFIG, json.dumps(_ABOUT).encode())
    return Image("charts/demo", "1.0.0", (content, settings), (manifest(OCI_MANIFEST, settings, [content]),))


def test_n19_05_helm_pulls_a_chart_that_outlives_its_registry(registry: Registry, proxy: Proxy, tmp_path: Path) -> None:
    chart = _chart()
    registry.push(chart)
    command: list[str | Path] = [
        go_program("helm"),
        "pull",
        f"oci://{proxy.authority}/{NAMED}/charts/demo",
        "--version",
        "1.0.0",
        "--plain-http",
    ]
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    run([*command, "--destination", first], {"HOME": str(tmp_path)})
    with registry.outage():
        run([*command, "--destination", second], {"HOME": str(tmp_path)})
    assert {(place / "demo-1.0.0.tgz").read_bytes() for place in (first, second)} == {chart.blobs[0].body}
