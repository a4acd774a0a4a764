"""Ingest: from files and folders to passages in a memory."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stretto.shared.contracts.memory import Record, Trust
from stretto.shared.memory.errors import NothingToRead, Unreadable
from stretto.shared.memory.ingest_report import Failure, IngestProgress, IngestReport
from stretto.shared.memory.passages import cut
from stretto.shared.memory.protocol import Memory
from stretto.shared.memory.readers import read_document
from stretto.shared.memory.walk import Walk, walk

__all__ = ["Ingest"]

_BATCH = 128  # passages handed over at once, from one document or several
_SOURCES = 500  # documents forgotten in one call
_MAX_BYTES = 64 * 1024 * 1024


class Ingest:
    """Keeps a memory in step with documents on disk.

    A document's new passages are stored before its old ones go, and the first passage last: so at no moment is it gone, and one that
    was cut short by a crash is not taken for whole (see `Catalogue.sources`) and is stored again the next time.

    Args:
        memory: where to.
        writer: the principal that adds the documents.
        trust: how far they are trusted.
        now: the clock.
    """

    def __init__(
        self,
        *,
        memory: Memory,
        writer: str,
        trust: Trust = "normal",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._memory = memory
        self._writer = writer
        self._trust: Trust = trust
        self._now = now

    async def run(
        self, path: Path, *, prune: bool = False, on_progress: Callable[[IngestProgress], None] = lambda _: None
    ) -> IngestReport:
        """Bring the documents at `path`, a folder or a file, into the memory.

        Unchanged documents are skipped, changed ones replaced; one that cannot be read is reported, and the others go on. With `prune`,
        documents of the folder that are no longer there are forgotten; for a single file it means nothing. Cancelling leaves what is
        stored by then; running it again completes it.

        Raises:
            NothingToRead: there is no such path, or not one readable document at it.
            MemoryFailed: the memory does not take them.
        """
        found = await asyncio.to_thread(walk, path)
        root = found.name
        known = {one.source: one.hash for one in await self._memory.sources(root=root)}
        run = _Run(memory=self._memory, root=root, known=known, total=len(found.files), on_progress=on_progress)
        for source, file in found.files:
            await self._document(run, source, file)
        await run.flush()
        run.progress("")
        if found.files and len(run.failed) == len(found.files):
            reasons = "; ".join(f"{one.source}: {one.reason}" for one in run.failed[:5])
            raise NothingToRead(f"no document at {path} could be read: {reasons}")
        pruned = await self._prune(found, known) if prune and found.whole else 0
        return run.report(ignored=found.ignored, pruned=pruned, failed=[Failure(*one) for one in found.closed])

    async def _document(self, run: "_Run", source: str, file: Path) -> None:
        run.progress(source)
        try:
            digest, data = await asyncio.to_thread(_read, file)
            if digest == run.known.get(source):
                run.unchanged += 1
            else:
                records = await asyncio.to_thread(self._records, run.root, source, digest, data)
                await run.put(source, digest, records)
        except OSError as error:
            run.failed.append(Failure(source, error.strerror or str(error)))
        except Unreadable as error:
            run.failed.append(Failure(source, str(error)))
        run.done += 1

    def _records(self, root: str, source: str, digest: str, data: bytes) -> list[Record]:
        added_at = self._now()
        return [
            Record(
                id=_record_id(root, source, passage.place, passage.text),
                text=passage.text,
                root=root,
                source=source,
                place=passage.place,
                ordinal=ordinal,
                writer=self._writer,
                trust=self._trust,
                hash=digest,
                added_at=added_at,
            )
            for ordinal, passage in enumerate(cut(read_document(source, data)))
        ]

    async def _prune(self, found: Walk, known: dict[str, str]) -> int:
        # What stands in a folder that cannot be listed now is not known to be gone.
        closed = tuple(f"{source}/" for source, _ in found.closed)
        vanished = [
            one for one in sorted(known.keys() - {source for source, _ in found.files}) if not one.startswith(closed)
        ]
        for start in range(0, len(vanished), _SOURCES):
            await self._memory.forget(root=found.name, sources=vanished[start : start + _SOURCES])
        return len(vanished)


class _Run:
    """One run: the passages that wait to be stored, and what was done so far."""

    def __init__(
        self,
        *,
        memory: Memory,
        root: str,
        known: Mapping[str, str],
        total: int,
        on_progress: Callable[[IngestProgress], None],
    ) -> None:
        self.root = root
        self.known = known
        self.done = self.unchanged = 0
        self.failed: list[Failure] = []
        self._memory = memory
        self._total = total
        self._on_progress = on_progress
        self._added = self._replaced = self._empty = self._passages = 0
        self._waiting: list[Record] = []
        self._whole: list[tuple[str, str]] = []  # source and hash of documents whose last passage waits

    def progress(self, source: str) -> None:
        self._on_progress(IngestProgress(self.done, self._total, self._passages, source))

    async def put(self, source: str, digest: str, records: Sequence[Record]) -> None:
        """Take a document; it is stored at once only if enough passages wait."""
        if records:
            self._waiting += reversed(records)
            self._whole.append((source, digest))
            if len(self._waiting) >= _BATCH:
                await self.flush(source)
        else:
            self._empty += 1
            if source in self.known:
                await self._memory.forget(root=self.root, sources=[source])

    async def flush(self, source: str = "") -> None:
        """Store what waits, then drop the former passages of what is now stored whole."""
        for start in range(0, len(self._waiting), _BATCH):
            self._passages += await self._memory.add(self._waiting[start : start + _BATCH])
            self.progress(source)
        for whole, digest in self._whole:
            if whole in self.known:
                await self._memory.forget(root=self.root, sources=[whole], keep_hash=digest)
                self._replaced += 1
            else:
                self._added += 1
        self._waiting.clear()
        self._whole.clear()

    def report(self, *, ignored: int, pruned: int, failed: Sequence[Failure]) -> IngestReport:
        return IngestReport(
            root=self.root,
            added=self._added,
            replaced=self._replaced,
            unchanged=self.unchanged,
            empty=self._empty,
            ignored=ignored,
            pruned=pruned,
            failed=(*failed, *self.failed),
            passages=self._passages,
        )


def _read(file: Path) -> tuple[str, bytes]:
    size_bytes = file.stat().st_size
    if size_bytes > _MAX_BYTES:
        raise Unreadable(f"it has {size_bytes / 1e6:.0f} MB, more than {_MAX_BYTES / 1e6:.0f} MB: split it")
    data = file.read_bytes()
    return hashlib.sha256(data).hexdigest(), data


def _record_id(root: str, source: str, place: str, text: str) -> str:
    return hashlib.sha256(f"{root}\0{source}\0{place}\0{text}".encode()).hexdigest()[:32]
