"""docs/architecture.md: the layers that import-linter holds, in their order."""

import re
import tomllib

from .blocks import ROOT


def test_the_layers_are_those_of_the_contract() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|", text.partition("## Layers")[2].partition("\n## ")[0], re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    rank = {module: number for number, layer in enumerate(layers) for module in layer.split(" | ")}
    packages = {path.parent.name for path in (ROOT / "regproxy").glob("*/__init__.py")}
    assert set(told) == packages | {"wiring"}
    assert [rank[each] for each in told] == sorted(rank[each] for each in told)
