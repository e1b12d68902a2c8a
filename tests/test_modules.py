"""Adapters, use cases, web and server have a test module for each module. The list of those without may only become shorter."""

from collections import Counter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
ROOMS = ("upstream", "storage", "index", "fleet", "peers", "behind", "fill", "pull", "maintenance", "web", "server")

# Modules without one, and why.
WITHOUT = {
    "maintenance/progress": "a type",
    "pull/explain/steps": "types",
    "pull/trust/documents": "whole pulls: tests/pull/trust/test_requirements.py",
    "pull/trust/signatures": "whole pulls: tests/pull/trust/test_requirements.py",
    "server/process": "whole programs: tests/faults/test_workers.py",
    "server/systemd": "whole programs: tests/faults/test_workers.py",
    "server/worker": "whole programs: tests/faults/test_workers.py and tests/server/test_versions.py",
    "server/worker_pool": "whole programs: tests/faults/test_workers.py",
    "upstream/clouds/source": "a type",
    "web/admin/services": "a type",
    "web/admin/sessions": "tests/web/admin/test_session_api.py, which gives and ends them",
    "web/clients/entrance": "whole pulls: tests/faults/test_login.py",
    "web/clients/token_endpoint": "whole pulls: tests/faults/test_login.py",
}


def test_every_other_module_has_a_test_module_of_its_own_name() -> None:
    modules = [path.relative_to(ROOT / "regproxy") for room in ROOMS for path in (ROOT / "regproxy" / room).rglob("*.py")]
    found = [each for each in modules if each.name != "__init__.py" and not (ROOT / "tests" / each.with_name(f"test_{each.name}")).exists()]
    assert sorted(str(each.with_suffix("")) for each in found) == sorted(WITHOUT)


def test_no_module_and_no_package_is_too_large_to_read() -> None:
    """A reader guesses the file before searching: 300 lines and 15 modules are the most, and half of the modules have less than 100."""
    modules = {path: len(path.read_text().splitlines()) for path in (ROOT / "regproxy").rglob("*.py")}
    packages = Counter(path.parent for path in modules if path.name != "__init__.py")
    assert {str(path.relative_to(ROOT)): lines for path, lines in modules.items() if lines > 300} == {}
    assert {str(path.relative_to(ROOT)): count for path, count in packages.items() if count > 15} == {}
    assert median(modules.values()) < 100
