"""Adapters, use cases, web and server have a test module for each module. The list of those without may only become shorter."""

from collections import Counter
from pathlib import Path
from statistics import median

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
    "pull": "access blobs collected_tags denials explain freezes manifests passing recording refresher stored_manifests",
    "maintenance": "archive backup catalogue exporter images importer inventory jobs progress scrubber",
    "web": "access_log app bodies context handlers middleware parameters responses sendfile spans tls",
    "web/admin": "api app long_work status_api store_api",
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


def test_no_module_and_no_package_is_too_large_to_read() -> None:
    """A reader guesses the file before searching: 300 lines and 15 modules are the most, and half of the modules have less than 100."""
    modules = {path: len(path.read_text().splitlines()) for path in (ROOT / "regproxy").rglob("*.py")}
    packages = Counter(path.parent for path in modules if path.name != "__init__.py")
    assert {str(path.relative_to(ROOT)): lines for path, lines in modules.items() if lines > 300} == {}
    assert {str(path.relative_to(ROOT)): count for path, count in packages.items() if count > 15} == {}
    assert median(modules.values()) < 100
