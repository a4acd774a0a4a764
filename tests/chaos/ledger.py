"""Ledger: what was submitted, acknowledged, called and answered, kept outside of the system in one SQLite file."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Answered", "Call", "Effect", "Ledger", "Submitted"]

_TABLES = """
CREATE TABLE IF NOT EXISTS submitted (run TEXT PRIMARY KEY, ends TEXT, text TEXT, at REAL, acknowledged_at REAL);
CREATE TABLE IF NOT EXISTS executions (id INTEGER PRIMARY KEY, pid INT, run TEXT, task TEXT, attempt INT, at REAL);
CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, execution INT, kind TEXT, run TEXT, task TEXT, attempt INT,
                                  position INT, key TEXT, began_at REAL, ended_at REAL);
CREATE TABLE IF NOT EXISTS frozen (pid INT, since REAL, until REAL);
CREATE TABLE IF NOT EXISTS gauges (pid INT, tasks INT, at REAL);
CREATE TABLE IF NOT EXISTS deaths (run TEXT PRIMARY KEY, at REAL);
CREATE TABLE IF NOT EXISTS poison (subject TEXT, at REAL);
CREATE TABLE IF NOT EXISTS answered (run TEXT, seq INT, state TEXT, text TEXT, PRIMARY KEY (run, seq));
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that was sent. `ends` is the state in which its run should end, `text` what its answer should say (None: anything)."""

    run: str
    ends: str | None
    text: str | None
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """One step of one attempt, as the code of the agent counts them. `kind` is `model`, `keyed` or `unkeyed`."""

    kind: str
    run: str
    task: str
    attempt: int
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """One time that an effect was carried out.

    Attributes:
        execution, looked_at: which time that a handler was started, and when its process looked at the journal for it, at the latest.
        key: the idempotency key, where it has one.
    """

    effect: Effect
    execution: int
    looked_at: float
    key: str
    began_at: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer that stands in the log of a run."""

    run: str
    seq: int
    state: str
    text: str


class Ledger:
    """Times are seconds of this machine's monotonic clock: one for all processes, whatever time they think it is.

    Every write is in the file before its method returns.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._open() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_TABLES)

    # What is written

    def submit(self, run: str, *, ends: str | None = "completed", text: str | None = None) -> None:
        self._write("INSERT INTO submitted VALUES (?, ?, ?, ?, NULL)", run, ends, text, time.monotonic())

    def acknowledge(self, run: str) -> None:
        self._write("UPDATE submitted SET acknowledged_at = ? WHERE run = ?", time.monotonic(), run)

    def begin_execution(self, pid: int, run: str, task: str, attempt: int) -> int:
        return self._write(
            "INSERT INTO executions (pid, run, task, attempt, at) VALUES (?, ?, ?, ?, ?)",
            *(pid, run, task, attempt, time.monotonic()),
        )

    def begin_call(self, execution: int, effect: Effect, key: str = "") -> int:
        return self._write(
            "INSERT INTO calls (execution, kind, run, task, attempt, position, key, began_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(execution, effect.kind, effect.run, effect.task, effect.attempt, effect.position, key, time.monotonic()),
        )

    def end_call(self, call: int) -> None:
        self._write("UPDATE calls SET ended_at = ? WHERE id = ?", time.monotonic(), call)

    @contextmanager
    def freezing(self, pid: int) -> Iterator[None]:
        """In the block, in which the process is to be frozen, nobody writes: frozen in a write, it would keep all others from theirs."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO frozen VALUES (?, ?, NULL)", (pid, time.monotonic()))
            yield
            db.execute("COMMIT")

    def thaw(self, pid: int) -> None:
        self._write("UPDATE frozen SET until = ? WHERE pid = ? AND until IS NULL", time.monotonic(), pid)

    def gauge(self, pid: int, tasks: int) -> None:
        self._write("INSERT INTO gauges VALUES (?, ?, ?)", pid, tasks, time.monotonic())

    def die(self, run: str) -> bool:
        """Whether a process is to kill itself for this run: once."""
        with self._open() as db:
            return db.execute("INSERT OR IGNORE INTO deaths VALUES (?, ?)", (run, time.monotonic())).rowcount == 1

    def poison(self, subject: str) -> None:
        self._write("INSERT INTO poison VALUES (?, ?)", subject, time.monotonic())

    def answer(self, answered: Answered) -> None:
        self._write(
            "INSERT OR IGNORE INTO answered VALUES (?, ?, ?, ?)",
            *(answered.run, answered.seq, answered.state, answered.text),
        )

    # What is read

    def submitted(self) -> list[Submitted]:
        rows = self._read("SELECT run, ends, text, acknowledged_at IS NOT NULL FROM submitted")
        return [Submitted(run, ends, text, bool(acknowledged)) for run, ends, text, acknowledged in rows]

    def answered(self) -> list[Answered]:
        return [Answered(*row) for row in self._read("SELECT run, seq, state, text FROM answered")]

    def poisoned(self) -> list[str]:
        return [str(subject) for (subject,) in self._read("SELECT subject FROM poison")]

    def calls(self) -> list[Call]:
        """Every call. A process that was frozen just before its handler began may have looked at the journal before that."""
        rows = self._read(
            """SELECT kind, calls.run, calls.task, calls.attempt, position, execution, key, began_at, ended_at IS NOT NULL,
                      min(at, coalesce((SELECT min(since) FROM frozen WHERE frozen.pid = executions.pid
                                        AND since < at AND coalesce(until, at) > at - 1), at))
               FROM calls JOIN executions ON executions.id = calls.execution ORDER BY began_at"""
        )
        return [
            Call(Effect(*row[:5]), execution=row[5], key=row[6], began_at=row[7], ended=bool(row[8]), looked_at=row[9])
            for row in rows
        ]

    def deaths(self) -> list[str]:
        """The runs for which a process killed itself."""
        return [str(run) for (run,) in self._read("SELECT run FROM deaths")]

    def in_flight(self) -> dict[int, int]:
        """How many calls have begun and not ended, by process."""
        return dict(
            self._read(
                """SELECT pid, count(*) FROM calls JOIN executions ON executions.id = execution
                   WHERE ended_at IS NULL GROUP BY pid"""
            )
        )

    def ended_calls(self, pid: int | None = None) -> int:
        """How many calls have ended, of one process or of all."""
        [(count,)] = self._read(
            """SELECT count(*) FROM calls JOIN executions ON executions.id = execution
               WHERE ended_at IS NOT NULL AND (? IS NULL OR pid = ?)""",
            *(pid, pid),
        )
        return int(count)

    def last_gauge(self, pid: int, since: float) -> int | None:
        """How many asyncio tasks a process said that it has, if it said so since then."""
        rows = self._read("SELECT tasks FROM gauges WHERE pid = ? AND at >= ? ORDER BY at DESC LIMIT 1", pid, since)
        return int(rows[0][0]) if rows else None

    def _write(self, statement: str, *values: object) -> int:
        with self._open() as db:
            return int(db.execute(statement, values).lastrowid or 0)

    def _read(self, statement: str, *values: object) -> list[Any]:
        with self._open() as db:
            return db.execute(statement, values).fetchall()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one statement: a process that is killed never holds the file."""
        with closing(sqlite3.connect(self.file, timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=OFF")
            yield db
