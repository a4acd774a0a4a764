"""Store: the tickets, in one SQLite file that several processes may use at once."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

__all__ = ["KeyUsed", "Note", "Priority", "Store", "Ticket", "TicketUnknown"]

Priority = Literal["low", "normal", "high"]

_TABLES = """
CREATE TABLE IF NOT EXISTS ticket (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    priority TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS note (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket INTEGER NOT NULL REFERENCES ticket,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS used_key (
    key TEXT PRIMARY KEY,
    asked TEXT NOT NULL,
    result INTEGER NOT NULL
);
"""


class TicketUnknown(Exception):
    """There is no ticket of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no ticket {number}")


class KeyUsed(Exception):
    """The idempotency key stands for something else that was asked before."""

    def __init__(self) -> None:
        super().__init__("this idempotency key was used for something else: take a new one")


class Note(BaseModel):
    """What somebody wrote under a ticket."""

    text: str
    created_at: datetime


class Ticket(BaseModel):
    """One ticket."""

    number: int
    title: str
    body: str
    priority: Priority
    created_at: datetime
    notes: list[Note] = []


class Store:
    """Tickets, their notes, and the idempotency keys that were used for them, each written in one transaction.

    Whoever asks twice under one key gets what came of it the first time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._open() as database:
            database.executescript(_TABLES)

    def create(self, title: str, body: str, *, priority: Priority, key: str) -> Ticket:
        """Write a ticket, unless the key has one. Raises KeyUsed when that is another."""
        asked = json.dumps(["ticket", title, body, priority])
        with self._open() as database:
            number = _used(database, key, asked)
            if number is None:
                row = (title, body, priority, datetime.now(UTC).isoformat())
                insert = "INSERT INTO ticket (title, body, priority, created_at) VALUES (?, ?, ?, ?)"
                number = _inserted(database.execute(insert, row))
                database.execute("INSERT INTO used_key VALUES (?, ?, ?)", (key, asked, number))
            return _read(database, number)

    def add_note(self, number: int, text: str, *, key: str) -> Ticket:
        """Write a note under a ticket, unless the key has one. Raises TicketUnknown, KeyUsed."""
        asked = json.dumps(["note", number, text])
        with self._open() as database:
            _read(database, number)
            if _used(database, key, asked) is None:
                row = (number, text, datetime.now(UTC).isoformat())
                note = _inserted(database.execute("INSERT INTO note (ticket, text, created_at) VALUES (?, ?, ?)", row))
                database.execute("INSERT INTO used_key VALUES (?, ?, ?)", (key, asked, note))
            return _read(database, number)

    def get(self, number: int) -> Ticket:
        """Raises TicketUnknown."""
        with self._open() as database:
            return _read(database, number)

    def newest(self, at_most: int) -> list[Ticket]:
        with self._open() as database:
            rows = database.execute("SELECT number FROM ticket ORDER BY number DESC LIMIT ?", (at_most,)).fetchall()
            return [_read(database, row["number"]) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction; IMMEDIATE, so that of two processes with one key the second sees what the first wrote."""
        database = sqlite3.connect(self._file, timeout=10.0, isolation_level=None)
        try:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.commit()
        finally:
            database.close()


def _used(database: sqlite3.Connection, key: str, asked: str) -> int | None:
    row = database.execute("SELECT asked, result FROM used_key WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row["asked"] != asked:
        raise KeyUsed
    return int(row["result"])


def _inserted(cursor: sqlite3.Cursor) -> int:
    return cursor.lastrowid or 0  # never None after an INSERT


def _read(database: sqlite3.Connection, number: int) -> Ticket:
    row = database.execute("SELECT * FROM ticket WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise TicketUnknown(number)
    notes = database.execute("SELECT text, created_at FROM note WHERE ticket = ? ORDER BY number", (number,)).fetchall()
    return Ticket.model_validate({**row, "notes": [dict(one) for one in notes]})
