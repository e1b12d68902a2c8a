"""How much upstreams may send a second, as the configuration file spells it."""

import re
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, InstanceOf, PlainSerializer

from regproxy.config.units import size, size_text
from regproxy.policy.upstream.bandwidth import MIN_RATE, LineRate

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_NO_LIMIT = "none"
_MAX_STEPS = 48


def line_rate(value: object) -> LineRate:
    """Accept a size, for each second, or a mapping of times of day to such sizes and `none`."""
    if isinstance(value, LineRate):
        return value
    if not isinstance(value, dict):
        return LineRate(((0, _rate(value)),))
    if not 0 < len(value) <= _MAX_STEPS:
        raise ValueError(f'is not a mapping of up to {_MAX_STEPS} times of day, such as {{"08:00": 5MiB, "19:00": none}}')
    return LineRate(tuple(sorted((_minute(str(key)), None if each == _NO_LIMIT else _rate(each)) for key, each in value.items())))


def line_rate_text(rate: LineRate) -> str | dict[str, str]:
    steps = {f"{minute // 60:02}:{minute % 60:02}": size_text(each) if each is not None else _NO_LIMIT for minute, each in rate.steps}
    return next(iter(steps.values())) if list(steps) == ["00:00"] else steps


def _rate(value: object) -> int:
    found = size(value)
    if found < MIN_RATE:
        raise ValueError(f"is less than {size_text(MIN_RATE)}, with which downloads would stall")
    return found


def _minute(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"has {text[:20]!r}, which is no time of day such as 08:00")
    return int(found[1]) * 60 + int(found[2])


MaxRate: TypeAlias = Annotated[InstanceOf[LineRate], BeforeValidator(line_rate), PlainSerializer(line_rate_text)]
