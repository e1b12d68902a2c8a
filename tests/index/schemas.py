"""Every schema that was ever landed, as it was: what an upgrade may find."""

VERSION_0 = """\
CREATE TABLE IF NOT EXISTS content (
    kind TEXT, digest TEXT, media_type TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (kind, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (
    kind TEXT, digest TEXT, repository TEXT, PRIMARY KEY (kind, digest, repository)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS freezes (
    pattern TEXT PRIMARY KEY, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
"""
VERSION_2 = """\
CREATE TABLE IF NOT EXISTS content (
    digest TEXT, kind TEXT, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    used_at REAL NOT NULL, often INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (digest, kind)
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
CREATE TABLE IF NOT EXISTS children (
    parent TEXT, child TEXT, PRIMARY KEY (parent, child)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS children_by_child ON children (child);
CREATE TABLE IF NOT EXISTS holders (
    digest TEXT, kind TEXT, repository TEXT, PRIMARY KEY (digest, kind, repository)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_digest ON tags (digest);
CREATE TABLE IF NOT EXISTS freezes (
    pattern TEXT PRIMARY KEY, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 2;
"""
VERSION_3_AT_FIRST = """\
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
CREATE TABLE IF NOT EXISTS children (
    parent TEXT, child TEXT, PRIMARY KEY (parent, child)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS children_by_child ON children (child);
CREATE TABLE IF NOT EXISTS holders (
    digest TEXT, kind TEXT, repository TEXT, PRIMARY KEY (digest, kind, repository)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_digest ON tags (digest);
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
VERSION_3_WITH_CATALOG = """\
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
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
VERSION_3 = """\
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
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
OPERATORS_1 = """\
CREATE TABLE IF NOT EXISTS pins (
    digest TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS freezes (
    pattern TEXT PRIMARY KEY, digest TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
