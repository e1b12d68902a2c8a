"""Keeping what was served: the disk's troubles are not the client's."""

import logging
from collections.abc import Awaitable

from regproxy.log import fields
from regproxy.ports import StoreError

_log = logging.getLogger(__name__)


async def kept(work: Awaitable[None], what: object) -> bool:
    """Keep something if the disk lets us, and say whether it did."""
    try:
        await work
    except StoreError as error:
        _log.error("could not be kept", extra=fields(what=str(what), reason=str(error)))
        return False
    return True
