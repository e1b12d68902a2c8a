"""A figure beside the goal that it has."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """What was measured, in which unit, and what it has to be: at most *limit*, or at least that; *remark* says more about it."""

    what: str
    value: float
    limit: float
    unit: str = "x"
    is_least: bool = False
    remark: str = ""

    @property
    def is_reached(self) -> bool:
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    @property
    def goal(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self._of(self.limit)}"

    @property
    def measured(self) -> str:
        return f"{self._of(self.value)}{f' ({self.remark})' if self.remark else ''}"

    def document(self) -> dict[str, object]:
        return asdict(self)

    def _of(self, value: float) -> str:
        return f"{value:.3g}x" if self.unit == "x" else f"{value:.3g} {self.unit}"


def at_least(what: str, value: float, limit: float, unit: str = "x") -> Figure:
    return Figure(what, value, limit, unit, is_least=True)
