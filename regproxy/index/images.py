"""What images there are and what they cost, for operators: slower than what serves, and never asked by it."""

from regproxy.index.database import Database, Row
from regproxy.oci.digest import Digest
from regproxy.ports import Image, ImageTags, Part

# Below a root: all it needs. Shared: what of that something outside lists, and all below that.
_COST = """
WITH RECURSIVE
    below(digest) AS (VALUES (?1) UNION SELECT child FROM children JOIN below ON parent = digest),
    shared(digest) AS (
        SELECT child FROM children JOIN below ON child = digest WHERE parent NOT IN (SELECT digest FROM below)
        UNION SELECT child FROM children JOIN shared ON parent = digest
    )
SELECT coalesce(sum(size), 0), coalesce(sum(CASE WHEN digest NOT IN (SELECT digest FROM shared) THEN size END), 0)
FROM content WHERE digest IN (SELECT digest FROM below)
"""
_PARTS = """
WITH RECURSIVE below(digest) AS (VALUES (?1) UNION SELECT child FROM children JOIN below ON parent = digest)
SELECT digest, media_type, size, (
    SELECT count(*) FROM children WHERE child = digest AND parent NOT IN (SELECT digest FROM below)
) FROM content WHERE digest IN (SELECT digest FROM below) ORDER BY kind DESC, size DESC
"""
_IMAGES = """
SELECT digest, used_at,
    EXISTS (SELECT 1 FROM pins WHERE pins.digest = content.digest), EXISTS (SELECT 1 FROM frozen WHERE frozen.digest = content.digest)
FROM content WHERE kind = 'manifest'
"""
_IS_ROOT = """
(EXISTS (SELECT 1 FROM staying WHERE staying.digest = content.digest) OR NOT EXISTS (SELECT 1 FROM children WHERE child = content.digest))
"""
_ROOTS = f"{_IMAGES} AND {_IS_ROOT}"
_ONE = f"{_IMAGES} AND digest = ?"
_NAMES = """
SELECT reference FROM tags WHERE digest = ?1
UNION ALL SELECT repository || '@' || digest FROM holders
    WHERE digest = ?1 AND kind = 'manifest' AND NOT EXISTS (SELECT 1 FROM tags WHERE digest = ?1)
"""
_MATCHES = """
(instr(digest, ?1) > 0
 OR EXISTS (SELECT 1 FROM tags WHERE tags.digest = content.digest AND instr(reference, ?1) > 0)
 OR EXISTS (SELECT 1 FROM holders WHERE holders.digest = content.digest AND holders.kind = 'manifest' AND instr(repository, ?1) > 0))
"""
_COUNT = f"SELECT count(*) FROM ({_ROOTS} AND {_MATCHES})"  # noqa: S608  of ours
_PAGE = f"{_ROOTS} AND {_MATCHES} ORDER BY used_at DESC, digest LIMIT ?2 OFFSET ?3"
_TAGS = "SELECT reference, checked_at FROM tags WHERE digest = ? ORDER BY reference LIMIT ?"
_MAX_TAGS = 50  # of an image, on a page


async def page(db: Database, search: str, offset: int, limit: int) -> tuple[int, list[ImageTags]]:
    ((count,),) = await db.rows(_COUNT, search)
    found = []
    for row in await db.rows(_PAGE, search, limit, offset):
        image = await _image(db, row, most=_MAX_TAGS)
        tags = await db.rows(_TAGS, str(image.digest), _MAX_TAGS)
        pulled = await db.row("SELECT count FROM pulls WHERE digest = ?", str(image.digest))
        pulls = int(str(pulled[0])) if pulled else 0
        found.append(ImageTags(image, pulls, tuple((str(name), float(str(checked_at))) for name, checked_at in tags)))
    return int(count), found


async def all_images(db: Database) -> list[Image]:
    return [await _image(db, row) for row in await db.rows(_ROOTS)]


async def named(db: Database, name: str) -> Image | None:
    tagged = await db.row("SELECT digest FROM tags WHERE reference = ?", name)
    digest = str(tagged[0]) if tagged else name.rpartition("@")[2]
    row = await db.row(_ONE, digest)
    return None if row is None else await _image(db, row)


async def parts(db: Database, image: Digest) -> list[Part]:
    rows = await db.rows(_PARTS, str(image))
    return [Part(Digest.parse(str(digest)), str(media_type), int(size), int(shared)) for digest, media_type, size, shared in rows]


async def _image(db: Database, row: Row, most: int = -1) -> Image:
    digest, used_at, pinned, frozen = row
    ((size, alone),) = await db.rows(_COST, digest)
    names = tuple(str(name) for (name,) in await db.rows(f"{_NAMES} LIMIT ?2", digest, most))
    return Image(Digest.parse(str(digest)), names, int(size), int(alone), float(used_at), bool(pinned), bool(frozen))
