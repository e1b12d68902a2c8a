"""The tables: those of the index, which can be rebuilt, and those of operators' decisions, which cannot.

`totals` is kept by triggers: how much the store holds is asked at every start and every sweep, and a million rows take long to add up.
A file takes whole blocks of 4 KiB there, as in policy.quota.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one file, the version they are of, and what it means to lose them."""

    version: int
    tables: str
    loss: str


INDEX = Schema(
    3,
    """
CREATE TABLE IF NOT EXISTS content (
    digest TEXT, kind TEXT, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    used_at REAL NOT NULL, often INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (digest, kind)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS content_by_use ON content (often, used_at);
CREATE TABLE IF NOT EXISTS totals (often INTEGER PRIMARY KEY, count INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES (0, 0, 0), (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS content_added AFTER INSERT ON content BEGIN
    UPDATE totals SET count = count + 1, size = size + (new.size + 4095) / 4096 * 4096 WHERE often = new.often;
END;
CREATE TRIGGER IF NOT EXISTS content_gone AFTER DELETE ON content BEGIN
    UPDATE totals SET count = count - 1, size = size - (old.size + 4095) / 4096 * 4096 WHERE often = old.often;
END;
CREATE TRIGGER IF NOT EXISTS content_changed AFTER UPDATE OF often, size ON content
WHEN old.often <> new.often OR old.size <> new.size BEGIN
    UPDATE totals SET count = count - 1, size = size - (old.size + 4095) / 4096 * 4096 WHERE often = old.often;
    UPDATE totals SET count = count + 1, size = size + (new.size + 4095) / 4096 * 4096 WHERE often = new.often;
END;
CREATE TABLE IF NOT EXISTS pulls (
    digest TEXT PRIMARY KEY, count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS pulled_gone AFTER DELETE ON content WHEN old.kind = 'manifest' BEGIN
    DELETE FROM pulls WHERE digest = old.digest;
END;
CREATE TABLE IF NOT EXISTS brought (
    digest TEXT PRIMARY KEY, client TEXT NOT NULL, size INTEGER NOT NULL, claimed_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS brought_by_client ON brought (client, size);
CREATE TRIGGER IF NOT EXISTS brought_gone AFTER DELETE ON content BEGIN
    DELETE FROM brought WHERE digest = old.digest AND NOT EXISTS (SELECT 1 FROM content WHERE content.digest = old.digest);
END;
CREATE TABLE IF NOT EXISTS children (
    parent TEXT, child TEXT, PRIMARY KEY (parent, child)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS children_by_child ON children (child);
CREATE TABLE IF NOT EXISTS holders (
    digest TEXT, kind TEXT, repository TEXT, PRIMARY KEY (digest, kind, repository)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holders_by_repository ON holders (repository) WHERE kind = 'manifest';
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_digest ON tags (digest);
CREATE TABLE IF NOT EXISTS access (
    repository TEXT PRIMARY KEY, confirmed_at REAL NOT NULL DEFAULT 0, refused_at REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '', is_imported INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL, policy TEXT NOT NULL, parent TEXT NOT NULL, UNIQUE (digest, policy)
);
CREATE TABLE IF NOT EXISTS uploads (
    number INTEGER PRIMARY KEY, what TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL DEFAULT 0, UNIQUE (what, name)
);
CREATE TABLE IF NOT EXISTS uploaded_tags (
    reference TEXT PRIMARY KEY, digest TEXT NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploaded_uses (
    digest TEXT PRIMARY KEY, used_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
""",
    "what tags mean and who holds what is asked again; content is recorded anew from its files",
)
OPERATORS = Schema(
    1,
    """
CREATE TABLE IF NOT EXISTS pins (
    digest TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS freezes (
    pattern TEXT PRIMARY KEY, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    kind TEXT, name TEXT, value TEXT, decided_at INTEGER NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
INSERT OR IGNORE INTO decisions SELECT 'freeze', pattern, digest, 0 FROM freezes UNION ALL SELECT 'pin', digest, '', 0 FROM pins;
CREATE VIEW IF NOT EXISTS milliseconds AS SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS now;
CREATE VIEW IF NOT EXISTS decided AS SELECT kind, name, value FROM decisions;
CREATE TRIGGER IF NOT EXISTS decided_now INSTEAD OF INSERT ON decided BEGIN
    UPDATE decisions SET value = new.value, decided_at = max(decided_at + 1, (SELECT now FROM milliseconds))
    WHERE kind = new.kind AND name = new.name;
    INSERT INTO decisions SELECT new.kind, new.name, new.value, now FROM milliseconds
    WHERE NOT EXISTS (SELECT 1 FROM decisions WHERE kind = new.kind AND name = new.name);
    DELETE FROM decisions
    WHERE new.value IS NULL AND value IS NULL AND decided_at <= (SELECT now FROM milliseconds) - 30 * 86400000;
END;
CREATE TRIGGER IF NOT EXISTS freeze_made AFTER INSERT ON freezes BEGIN
    INSERT INTO decided VALUES ('freeze', new.pattern, new.digest);
END;
CREATE TRIGGER IF NOT EXISTS freeze_ended AFTER DELETE ON freezes BEGIN
    INSERT INTO decided VALUES ('freeze', old.pattern, NULL);
END;
CREATE TRIGGER IF NOT EXISTS pin_made AFTER INSERT ON pins BEGIN
    INSERT INTO decided VALUES ('pin', new.digest, '');
END;
CREATE TRIGGER IF NOT EXISTS pin_ended AFTER DELETE ON pins BEGIN
    INSERT INTO decided VALUES ('pin', old.digest, NULL);
END;
CREATE TABLE IF NOT EXISTS meanings (
    number INTEGER PRIMARY KEY, reference TEXT NOT NULL, digest TEXT NOT NULL, since REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS meanings_by_reference ON meanings (reference, number);
CREATE INDEX IF NOT EXISTS meanings_by_digest ON meanings (digest);
CREATE TABLE IF NOT EXISTS warm_jobs (
    number INTEGER PRIMARY KEY, document TEXT NOT NULL
);
""",
    "what was pinned, and frozen at run time, is to be pinned and frozen again; what tags meant before is forgotten",
)
