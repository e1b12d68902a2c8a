"""Keeping what was served and finding what was kept: the disk's troubles are not the client's."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from regproxy.log import fields
from regproxy.ports import StoreError

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


async def kept(work: Awaitable[None], what: object) -> bool:
    """Keep something if the disk lets us, and say whether it did."""
    try:
        await work
    except StoreError as error:
        _log.info("could not be kept", extra=fields(what=str(what), reason=str(error)))
        return False
    return True


async def found(work: Awaitable[Result | None], what: object) -> Result | None:
    """Look something up if the disk lets us; what cannot be looked up is not there."""
    try:
        return await work
    except StoreError as error:
        _log.warning("could not be looked up", extra=fields(what=str(what), reason=str(error)))
        return None
