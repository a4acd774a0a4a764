"""Catalogue: what one tenant has stored, kept in memory for counting and for search by words."""

import re
import sqlite3
from collections.abc import Iterable, Sequence

from stretto.shared.contracts.memory import Record, SourceState
from stretto.shared.memory.place import heading_of

__all__ = ["Catalogue"]

_SCHEMA = """
CREATE TABLE passages (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, root TEXT, source TEXT, ordinal INTEGER, hash TEXT
);
CREATE INDEX by_source ON passages (root, source);
CREATE VIRTUAL TABLE words USING fts5 (heading, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""

_WORD = re.compile(r"\w+")
_MAX_WORDS = 64  # of a query: further ones cost time and change little

# Words of questions that say nothing about their subject; a small store would take them for rare, telling ones.
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and any are as at be been but by can could did do does for from had has have how i if in into is it its me my of on or our "
        "shall should so such than that the their them then there these they this to was we were what when where which who whom why will "
        "with would you your"
    )
)


class Catalogue:
    """One tenant's passages in an in-memory SQLite: BM25 by its full-text index FTS5, with Porter's stemming.

    FTS5 rather than a BM25 package: it takes single additions and removals (the packages build the whole index again), stems, and is
    in the standard library. Not safe for several threads at once: the store holds its lock.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self.put(records)

    def close(self) -> None:
        self._db.close()

    def put(self, records: Iterable[Record]) -> None:
        """Add the records, each in place of the one with its id."""
        with self._db:
            self._db.execute("BEGIN")
            for record in records:
                self._drop(record.id)
                row = self._db.execute(
                    "INSERT INTO passages (id, root, source, ordinal, hash) VALUES (?, ?, ?, ?, ?)",
                    (record.id, record.root, record.source, record.ordinal, record.hash),
                )
                self._db.execute(
                    "INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)",
                    (row.lastrowid, f"{record.source} {heading_of(record.place)}", record.text),
                )

    def drop(self, ids: Iterable[str]) -> None:
        """Remove these records, where they are there."""
        with self._db:
            self._db.execute("BEGIN")
            for one in ids:
                self._drop(one)

    def ids(self, *, root: str | None, sources: Sequence[str], keep_hash: str) -> list[str]:
        """The ids of a root, of some sources, or of both; not those of documents with the hash `keep_hash`."""
        where, values = ["? = '' OR hash != ?"], [keep_hash, keep_hash]
        if root is not None:
            where.append("root = ?")
            values.append(root)
        if sources:
            where.append(f"source IN ({_marks(sources)})")
            values.extend(sources)
        rows = self._db.execute(f"SELECT id FROM passages WHERE ({') AND ('.join(where)}) ORDER BY id", values)  # noqa: S608 (marks only)
        return [row[0] for row in rows]

    def around(self, id_: str, *, reach: int) -> list[str]:
        """The ids of the passages next to one in its document, as it was when that was cut: `reach` on either side, in order."""
        rows = self._db.execute(
            "SELECT near.id FROM passages AS here JOIN passages AS near USING (root, source, hash) "
            "WHERE here.id = ? AND near.ordinal != here.ordinal AND abs(near.ordinal - here.ordinal) <= ? "
            "ORDER BY near.ordinal, near.id",
            (id_, reach),
        )
        return [row[0] for row in rows]

    def rank(self, query: str, *, roots: Sequence[str], limit: int) -> list[str]:
        """The ids of the passages with the query's words, best first by BM25; from these roots, if any."""
        words = list(dict.fromkeys(word for word in _WORD.findall(query.casefold()) if word not in _STOP_WORDS))
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words[:_MAX_WORDS])
        within = f"AND passages.root IN ({_marks(roots)})" if roots else ""
        rows = self._db.execute(
            "SELECT passages.id FROM words JOIN passages ON passages.number = words.rowid "  # noqa: S608 (marks only)
            f"WHERE words MATCH ? {within} ORDER BY words.rank, passages.id LIMIT ?",
            [match, *roots, limit],
        )
        return [row[0] for row in rows]

    def count(self, roots: Sequence[str] = ()) -> int:
        """How many passages there are, in these roots, if any."""
        within = f"WHERE root IN ({_marks(roots)})" if roots else ""
        count: int = self._db.execute(f"SELECT count(*) FROM passages {within}", list(roots)).fetchone()[0]  # noqa: S608 (marks only)
        return count

    def roots(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._db.execute("SELECT DISTINCT root FROM passages ORDER BY root"))

    def sources(self, root: str | None = None) -> tuple[SourceState, ...]:
        """Every stored document, by root and source.

        The hash is empty unless the document is whole: all its passages agree on it, and its first passage is there. Whoever writes
        a document writes the first passage last, so that a document that was cut short is known as such.
        """
        rows = self._db.execute(
            "SELECT root, source, CASE WHEN min(hash) = max(hash) AND min(ordinal) = 0 THEN max(hash) ELSE '' END, count(*) "
            "FROM passages WHERE ? IS NULL OR root = ? GROUP BY root, source ORDER BY root, source",
            (root, root),
        )
        return tuple(SourceState(root=row[0], source=row[1], hash=row[2], passages=row[3]) for row in rows)

    def _drop(self, id_: str) -> None:
        for number in self._db.execute("DELETE FROM passages WHERE id = ? RETURNING number", (id_,)).fetchall():
            self._db.execute("DELETE FROM words WHERE rowid = ?", number)


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
