"""The document of a backup: written, divided, and read again or refused."""

import json

import pytest

from regproxy.maintenance import backup
from regproxy.maintenance.backup import InvalidBackup
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import OperatorDecisions

RECORD = TagRecord(Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8), 17.5)
DECISIONS = OperatorDecisions(
    tuple(Digest.of(str(number).encode()) for number in range(5)),
    (Freeze("docker.io/library/*"), Freeze("localhost:5000/team/app:1", Digest.of(b"frozen"))),
    ((Reference(Repository("docker.io", "library/app"), Tag("1")), RECORD),),
)


def test_n15_07_what_is_written_is_read_again() -> None:
    assert backup.read(json.loads(json.dumps(backup.written(DECISIONS)))) == DECISIONS


def test_n15_07_parts_are_all_of_it_and_each_can_be_read() -> None:
    parts = [backup.read(part) for part in backup.parts(backup.written(DECISIONS), 2)]
    assert [len(part.pins) + len(part.freezes) + len(part.tags) for part in parts] == [2, 2, 1, 2, 1]
    assert sum((part.pins for part in parts), ()) == DECISIONS.pins


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "this is not a backup of regproxy"),
        ({"kind": "regproxy backup", "version": 2}, "the backup has version 2, and this regproxy reads 1"),
        ({"kind": "regproxy backup", "version": 1, "pins": ["sha256:0"]}, "the backup is damaged"),
        ({"kind": "regproxy backup", "version": 1, "pins": 7}, "the backup is damaged"),
        ({"kind": "regproxy backup", "version": 1, "freezes": [{"pattern": "a\nb", "digest": None}]}, "the backup is damaged"),
        ({"kind": "regproxy backup", "version": 1, "freezes": [{"digest": None}]}, "the backup is damaged"),
        ({"kind": "regproxy backup", "version": 1, "tags": [{"reference": "no tag"}]}, "the backup is damaged"),
    ],
    ids=str,
)
def test_n15_07_what_is_no_backup_is_refused_with_the_reason(document: object, reason: str) -> None:
    with pytest.raises(InvalidBackup, match=reason):
        backup.read(document)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", size) for size in (-1, 1e999, float("nan"), 10**30)),
        *(("checked_at", time) for time in (1e999, float("nan"))),
        *(("media_type", name) for name in ("", "a/b\r\nX: y", "\ud800", "a" * 256)),
    ],
)
def test_n15_07_a_tag_that_no_registry_has_is_refused(field: str, value: object) -> None:
    """What is restored is served, and goes into a header and a database that do not take everything."""
    document = json.loads(json.dumps(backup.written(DECISIONS)))
    document["tags"][0][field] = value
    with pytest.raises(InvalidBackup, match="the backup is damaged"):
        backup.read(document)
