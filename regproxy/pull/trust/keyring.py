"""The keys of the rules, read again when their files change: a key that was revoked counts no more."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regproxy import files
from regproxy.policy.requirement import Requirement, policy_id
from regproxy.ports import StoreError
from regproxy.telemetry.log import fields
from regproxy.trust.keys import MAX_KEY_FILE_BYTES, InvalidKey, parse_keys

if TYPE_CHECKING:
    from regproxy.trust.keyless import KeylessVerifier
    from regproxy.trust.public_key import PublicKey

_EVERY = 1.0  # seconds between two looks at the files
_READ_TIMEOUT = 2.0  # seconds; what a file system that hangs holds back leaves what was known

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedKeys:
    """What a rule accepts now: its policy by name, its keys, and who verifies its identities."""

    rule: Requirement
    policy: str
    keys: "tuple[PublicKey, ...]"
    keyless: "KeylessVerifier | None" = None


class KeyRing:
    """What each rule accepts. A file that is gone or cannot be read has no key: to keep what it had would keep what was revoked."""

    def __init__(self, rules: Iterable[Requirement], changed: Callable[[], None] | None = None) -> None:
        """Read nothing yet; call *changed* where a file says something else than before."""
        self._rules = tuple(dict.fromkeys(rules))
        self._changed = changed
        self._texts: dict[str, bytes] = {}
        self._versions: dict[str, files.FileVersion | None] = {}
        self._accepted: Mapping[Requirement, AcceptedKeys] = {rule: AcceptedKeys(rule, policy_id(rule, ()), ()) for rule in self._rules}

    def accepted(self, rule: Requirement) -> AcceptedKeys:
        return self._accepted[rule]

    async def run(self) -> None:
        """Look at the files now and then, for ever."""
        while self._rules:
            await asyncio.sleep(_EVERY)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the files that are others than before."""
        paths = dict.fromkeys(path for rule in self._rules for path in rule.files)
        found = [await self._read(path) for path in paths]
        if not any(found):
            return
        self._accepted = {rule: self._read_rule(rule) for rule in self._rules}
        if self._changed is not None:
            try:
                self._changed()
            except StoreError as error:
                _log.error("cannot end remembered answers", extra=fields(reason=str(error)))

    async def _read(self, path: str) -> bool:
        """Read a file if it is another one than before, and report whether it was."""
        version: files.FileVersion | None = None
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                version = await files.version(Path(path))
                if path in self._texts and version == self._versions[path]:
                    return False
                text = await files.read_bytes(Path(path))
        except TimeoutError:
            return False
        except OSError as error:
            text = b""
            if self._texts.get(path) != text:
                _log.error("signature keys cannot be read: none of them counts", extra=fields(path=path, reason=error.strerror))
        was = self._texts.get(path)
        self._texts[path], self._versions[path] = text, version
        return was != text

    def _read_rule(self, rule: Requirement) -> AcceptedKeys:
        keys: list[PublicKey] = []
        for path in rule.keys:
            try:
                keys += parse_keys(self._texts.get(path, b"")[: MAX_KEY_FILE_BYTES + 1])
            except InvalidKey as error:
                _log.error("signature keys cannot be read: none of them counts", extra=fields(path=path, reason=str(error)))
        contents = [self._texts.get(path, b"") for path in rule.files]
        return AcceptedKeys(rule, policy_id(rule, contents), tuple(keys), self._read_trust_root(rule))

    def _read_trust_root(self, rule: Requirement) -> "KeylessVerifier | None":
        if rule.trust_root is None:
            return None
        from regproxy.trust import keyless  # noqa: PLC0415  an extra, and 20 MB that most do without

        try:
            return keyless.KeylessVerifier(self._texts.get(rule.trust_root, b""), rule.identities)
        except keyless.InvalidTrustRoot as error:
            _log.error("trust root cannot be read: no identity counts", extra=fields(path=rule.trust_root, reason=str(error)))
            return None
