"""The keys that count now."""

import logging
from pathlib import Path

import pytest

from regproxy.policy.requirement import Requirement
from regproxy.ports import StoreError
from regproxy.pull.trust.keyring import KeyRing
from tests.trust.signing import Signer

from .signed import key_file

ME, YOU = Signer(), Signer()


async def test_n18_23_a_file_that_changes_is_another_policy_and_one_that_is_gone_has_no_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, changes = key_file(tmp_path, ME), list[int]()
    rule = Requirement("*", (str(path),))
    keyring = KeyRing([rule, rule], lambda: changes.append(1))
    assert keyring.accepted(rule).keys == ()
    await keyring.refresh()
    first = keyring.accepted(rule)
    assert (first.keys, len(changes)) == (ME.keys, 1)
    await keyring.refresh()
    assert (keyring.accepted(rule) is first, len(changes)) == (True, 1)
    key_file(tmp_path, YOU)
    await keyring.refresh()
    assert (keyring.accepted(rule).keys, keyring.accepted(rule).policy != first.policy) == (YOU.keys, True)
    (tmp_path / "cosign.pub").unlink()
    for _ in range(2):
        await keyring.refresh()
    assert (keyring.accepted(rule).keys, len(changes)) == ((), 3)
    assert caplog.messages.count("signature keys cannot be read: none of them counts") == 2  # the file, and that it has no key
    key_file(tmp_path, ME)
    await keyring.refresh()
    assert (keyring.accepted(rule).keys, keyring.accepted(rule).policy) == (ME.keys, first.policy)


async def test_n18_23_answers_that_cannot_be_ended_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise StoreError("Input/output error")

    with caplog.at_level(logging.ERROR):
        await KeyRing([Requirement("*", (str(key_file(tmp_path, ME)),))], fail).refresh()
    assert caplog.messages == ["cannot end remembered answers"]


async def test_n18_23_without_rules_no_file_is_looked_at() -> None:
    await KeyRing([]).run()
