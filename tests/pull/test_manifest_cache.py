"""Manifests at hand: their bytes are in memory once."""

import json
import time
from types import SimpleNamespace
from typing import Any, cast

from regproxy.oci.manifest import OCI_INDEX, Manifest
from regproxy.pull.manifest_cache import ManifestCache

MIB = 1024 * 1024


def _manifest(number: int) -> Manifest:
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": {"": f"{number:0{4 * MIB - 200}}"}}
    return Manifest.verify(json.dumps(body).encode())


def _cache() -> ManifestCache:
    return ManifestCache(cast("Any", SimpleNamespace(generation=0)), time.time)


def test_n12_14_a_manifest_that_clients_are_sent_is_in_memory_once() -> None:
    """More of them than are kept at hand are read anew for each client; a hundred clients may have asked for ten of them."""
    cache = _cache()
    sent = [cache.keep(_manifest(number)) for number in range(10)]
    assert cache.body(sent[0].descriptor.digest) is sent[0]
    assert cache.keep(_manifest(0)) is sent[0]
    assert cache.shared(_manifest(1)) is sent[1]


def test_n12_14_a_manifest_that_nobody_needs_is_not_in_memory() -> None:
    cache = _cache()
    first = cache.keep(_manifest(0)).descriptor.digest
    for number in range(1, 10):
        cache.keep(_manifest(number))
    assert cache.body(first) is None
