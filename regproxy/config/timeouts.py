"""How long upstreams are waited for: all of them, one, or one of its hosts."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field

from regproxy.config.model import Model
from regproxy.config.units import Seconds, Size

Timeout: TypeAlias = Annotated[Seconds, Field(gt=0)]

_RENAMED = {"trickle": "slow_for", "least_rate": "min_rate"}
_HEADERS = 5.0  # where another host can be asked
# Where there is none: as long as containerd gives a connection (its dialer's 30 s). To the head of an answer it sets no limit at all, and
# CRI ends a pull after 5 min without a byte (image_pull_progress_timeout), which has to be enough for whoever is asked after us.
_HEADERS_ALONE = 30.0


class Timeouts(Model):
    """How long an upstream is waited for, in seconds; there is no limit on a whole transfer."""

    renamed: ClassVar = _RENAMED

    connect: Timeout = 3.0
    headers: Timeout | None = None
    silence: Timeout = 10.0
    slow_for: Timeout = 30.0
    min_rate: Size = 16 * 1024
    progress: Timeout = 15.0
    revalidate: Timeout = 0.9  # with all that is around it, a pull takes less than a second

    @property
    def head(self) -> float:
        """How many seconds the head of an answer may take."""
        return _HEADERS if self.headers is None else self.headers

    def of(self, own: Mapping[str, float], *, is_alone: bool) -> "Timeouts":
        """Return the timeouts of a host with settings of its *own*; one that *is_alone* in its upstream has a longer default."""
        merged = self.model_copy(update=dict(own))
        return merged.model_copy(update={"headers": _HEADERS_ALONE}) if is_alone and merged.headers is None else merged


class HostTimeouts(Model):
    """Those of one host that differ from its upstream's."""

    renamed: ClassVar = _RENAMED

    connect: Timeout | None = None
    headers: Timeout | None = None
    silence: Timeout | None = None
    slow_for: Timeout | None = None
    min_rate: Size | None = None

    def given(self) -> dict[str, float]:
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class UpstreamTimeouts(HostTimeouts):
    """Those of one upstream that differ from all others'."""

    progress: Timeout | None = None
    revalidate: Timeout | None = None
