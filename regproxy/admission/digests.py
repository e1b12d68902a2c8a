"""What tags mean now, asked of the running cache, so that its rules, records and freezes apply."""

import asyncio
import logging
from collections.abc import Mapping

import aiohttp

from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.manifest import ACCEPT
from regproxy.oci.reference import Reference
from regproxy.telemetry.log import fields

_MAX_QUESTIONS = 64  # of one Pod at once
_OK = 200

_log = logging.getLogger(__name__)


class Digests:
    """Asks the registry port of a regproxy by HEAD, without credentials of ours: a private image is not shown to be there."""

    def __init__(self, session: aiohttp.ClientSession, registry: str, timeout: float) -> None:
        """Ask the cache at *registry*; all questions of one Pod together have *timeout* seconds."""
        self._session = session
        self._registry = registry.rstrip("/")
        self._timeout = timeout

    async def of(self, images: Mapping[str, Reference]) -> dict[str, Digest]:
        """Return the digests that are known in time, by the keys of *images*; a tag without an answer is left out."""
        asked = {asyncio.ensure_future(self._ask(reference)): name for name, reference in list(images.items())[:_MAX_QUESTIONS]}
        if not asked:
            return {}
        try:
            done, late = await asyncio.wait(asked, timeout=self._timeout)
        finally:
            for question in asked:
                question.cancel()
        for question in late:
            _log.warning("tag not pinned", extra=fields(image=asked[question], reason=f"no answer within {self._timeout:g} s"))
        return {asked[question]: digest for question in done if (digest := question.result()) is not None}

    async def _ask(self, reference: Reference) -> Digest | None:
        url = f"{self._registry}/v2/{reference.repository.name}/manifests/{reference.target}"
        params = {"ns": reference.repository.registry}
        try:
            async with self._session.head(url, params=params, headers={"Accept": ACCEPT}, allow_redirects=False) as response:
                if response.status == _OK:
                    return Digest.parse(response.headers.get("Docker-Content-Digest", ""))
                reason = f"the cache answers {response.status}"
        except (aiohttp.ClientError, InvalidDigest, OSError) as error:
            reason = str(error)
        _log.warning("tag not pinned", extra=fields(image=str(reference), reason=reason))
        return None
