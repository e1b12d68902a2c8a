"""Images that are brought in by the clock, as the configuration file spells it."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from regproxy.config.model import Model
from regproxy.config.units import Filled
from regproxy.policy.platform import Platform


def _cron(value: str) -> str:
    try:
        next(CronSim(value, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        raise ValueError("is not five fields of cron that are ever due, such as 0 3 * * *") from None
    return value


def _platform(value: str) -> str:
    return str(Platform.parse(value))


Cron: TypeAlias = Annotated[str, AfterValidator(_cron)]


class WarmEntry(Model):
    """Images that are brought in again and again."""

    images: Annotated[tuple[Filled, ...], Field(min_length=1)] = Field(
        description="As in `docker pull`; a tag is looked up each time, and what it means now is brought in."
    )
    cron: Cron = Field(description="When, in five fields of cron and the time zone of the server (`TZ`).")
    platforms: tuple[Annotated[str, AfterValidator(_platform)], ...] = Field(
        default=(), description="Of an image for several platforms, which. None: all of them."
    )
