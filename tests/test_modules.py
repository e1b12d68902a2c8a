"""Adapters, use cases, web and server have a test module for each module. The list of those without may only become shorter."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("upstream", "storage", "index", "fleet", "fill", "pull", "maintenance", "web", "server")

# Their rules are defended through the whole, by tests/faults, or by the test module of a neighbour that they are a part of.
WITHOUT = {
    "upstream/auth": "failures token_service",
    "upstream": "documents host listings manifests registry",
    "storage": "blob_files partial_file spool",
    "storage/directory": "layout",
    "index": "database images recovery retention schema",
    "fleet": "lock redis_fleet",
    "fill": "fetcher",
    "pull": "access blobs collected_tags denials explain freezes manifests passing recording stored_manifests",
    "maintenance": "archive backup exporter images importer inventory jobs progress scrubber",
    "web": "access_log app bodies context handlers middleware parameters responses sendfile spans tls",
    "web/admin": "api app long_work store_api",
    "web/connection": "tcp_info watchdog",
    "server": "process systemd worker worker_pool",
}


def test_every_other_module_has_a_test_module_of_its_own_name() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted(each for room in ROOMS for each in (ROOT / "regproxy" / room).rglob("*.py") if each.name != "__init__.py"):
        folder = path.parent.relative_to(ROOT / "regproxy")
        if not (ROOT / "tests" / folder / f"test_{path.name}").exists():
            found.setdefault(str(folder), []).append(path.stem)
    assert {folder: " ".join(names) for folder, names in found.items()} == WITHOUT
