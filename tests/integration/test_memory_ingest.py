"""Ingest: the memory follows the documents on disk, and one bad document harms no other."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stretto.shared.contracts.memory import Record
from stretto.shared.memory.errors import MemoryUnavailable, NothingToRead
from stretto.shared.memory.ingest import Ingest
from stretto.shared.memory.ingest_report import Failure, IngestProgress, IngestReport
from stretto.shared.memory.local import LocalMemory
from stretto.shared.memory.store import VectorStore
from tests.integration.memory_world import WordEmbedder


class _BreakingMemory(LocalMemory):
    """A memory whose service goes away after so many records."""

    records_left = 10**9

    async def add(self, records: Sequence[Record]) -> int:
        if self.records_left < len(records):
            await super().add(records[: self.records_left])
            raise MemoryUnavailable("gone")
        self.records_left -= len(records)
        return await super().add(records)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[_BreakingMemory]:
    embedder = WordEmbedder()
    with VectorStore(tmp_path / "memory", embedder=embedder.name, dimensions=embedder.dimensions) as store:
        yield _BreakingMemory(tenant="acme", store=store, embedder=embedder)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "people").mkdir(parents=True)
    (folder / "refunds.md").write_text("# Refunds\n\nWithin 14 days.\n\n## Not refunded\n\nGift cards.\n")
    (folder / "people" / "leave.txt").write_text("Sixteen weeks.\n")
    return folder


async def _ingest(memory: LocalMemory, path: Path, *, prune: bool = False) -> IngestReport:
    return await Ingest(memory=memory, writer="ann").run(path, prune=prune)


async def _texts(memory: LocalMemory, query: str = "the") -> list[str]:
    hits = await memory.search(query, limit=200)
    return sorted(one.record.text for one in hits.hits)


async def _sources(memory: LocalMemory) -> list[str]:
    return [one.source for one in await memory.sources()]


async def test_a_folder_becomes_passages_that_say_where_they_stand(memory: LocalMemory, docs: Path) -> None:
    report = await _ingest(memory, docs)
    assert report == IngestReport(root=str(docs), added=2, passages=3)
    found = (await memory.search("gift cards", scope=[report.root])).hits[0].record
    assert (found.text, found.source, found.place) == (
        "Gift cards.",
        "handbook/refunds.md",
        "Refunds > Not refunded, line 7",
    )
    assert (found.ordinal, found.writer, found.trust, len(found.hash)) == (1, "ann", "normal", 64)
    assert await _sources(memory) == ["handbook/people/leave.txt", "handbook/refunds.md"]


async def test_unchanged_documents_are_skipped_changed_ones_replaced_and_vanished_ones_pruned_on_request(
    memory: LocalMemory, docs: Path
) -> None:
    first = await _ingest(memory, docs)
    assert await _ingest(memory, docs) == replace(first, added=0, passages=0, unchanged=2)
    (docs / "refunds.md").write_text("# Refunds\n\nWithin 30 days.\n")
    (docs / "people" / "leave.txt").unlink()
    assert await _ingest(memory, docs) == IngestReport(root=str(docs), replaced=1, passages=1)
    assert await _texts(memory) == ["Sixteen weeks.", "Within 30 days."]
    assert await _ingest(memory, docs, prune=True) == IngestReport(root=str(docs), unchanged=1, pruned=1)
    assert await _texts(memory) == ["Within 30 days."]


async def test_a_single_file_is_a_root_of_its_own_and_prunes_nothing(memory: LocalMemory, docs: Path) -> None:
    await _ingest(memory, docs)
    file = docs / "refunds.md"
    report = await _ingest(memory, file, prune=True)
    assert (report.root, report.added, report.pruned) == (str(file), 1, 0)
    assert await _ingest(memory, file) == IngestReport(root=str(file), unchanged=1)
    assert {one.source for one in await memory.sources(root=str(docs))} > {"handbook/refunds.md"}
    alone = (await memory.search("the", scope=[str(file)])).hits
    assert {hit.record.source for hit in alone} == {"handbook/refunds.md"}, "asked about a file, only it answers"


async def test_a_broken_document_is_reported_keeps_its_old_passages_and_the_rest_goes_on(
    memory: LocalMemory, docs: Path
) -> None:
    await _ingest(memory, docs)
    (docs / "refunds.md").write_bytes(bytes(range(256)) * 20)
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 or not")
    (docs / "zebra.txt").write_text("Stripes.")
    report = await _ingest(memory, docs, prune=True)
    assert (report.added, report.unchanged, report.pruned) == (1, 1, 0)
    assert [one.source for one in report.failed] == ["handbook/broken.pdf", "handbook/refunds.md"]
    assert "not a PDF" in report.failed[0].reason
    assert "Within 14 days." in await _texts(memory)


async def test_hidden_foreign_and_outside_files_are_passed_by_and_counted(
    memory: LocalMemory, docs: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("Secret.")
    (docs / "link.md").symlink_to(tmp_path / "secret.md")
    (docs / "alias.md").symlink_to(docs / "refunds.md")
    (docs / ".draft.md").write_text("Draft.")
    (docs / "photo.png").write_bytes(b"png")
    (docs / ".git").mkdir()
    (docs / ".git" / "note.md").write_text("Note.")
    os.mkfifo(docs / "pipe.md")
    report = await _ingest(memory, docs)
    assert (report.added, report.ignored) == (3, 4)
    assert "handbook/alias.md" in await _sources(memory)


async def test_a_document_that_became_blank_is_forgotten(memory: LocalMemory, docs: Path) -> None:
    await _ingest(memory, docs)
    (docs / "refunds.md").write_text(" \n")
    assert (await _ingest(memory, docs)).empty == 1
    assert await _sources(memory) == ["handbook/people/leave.txt"]


@pytest.mark.parametrize("stored", range(0, 9, 2))
async def test_a_run_that_breaks_off_loses_nothing_and_the_next_one_completes_it(
    memory: _BreakingMemory, docs: Path, stored: int
) -> None:
    shutil.rmtree(docs / "people")
    document = docs / "refunds.md"
    document.write_text("".join(f"# Old {number}\n\nOld text {number}.\n" for number in range(4)))
    await _ingest(memory, docs)
    document.write_text("".join(f"# New {number}\n\nNew text {number}.\n" for number in range(9)))
    memory.records_left = stored
    with pytest.raises(MemoryUnavailable):
        await _ingest(memory, docs)
    assert [text for text in await _texts(memory) if text.startswith("Old")] == [
        f"Old text {number}." for number in range(4)
    ]
    memory.records_left = 100
    assert (await _ingest(memory, docs)).replaced == 1
    assert await _texts(memory) == [f"New text {number}." for number in range(9)]
    assert (await _ingest(memory, docs)).unchanged == 1


async def test_a_first_run_that_breaks_off_is_not_taken_for_whole(memory: _BreakingMemory, docs: Path) -> None:
    memory.records_left = 1
    with pytest.raises(MemoryUnavailable):
        await _ingest(memory, docs / "refunds.md")
    memory.records_left = 100
    assert (await _ingest(memory, docs / "refunds.md")).passages == 2


async def test_progress_goes_up_to_the_end(memory: LocalMemory, docs: Path) -> None:
    seen: list[IngestProgress] = []
    await Ingest(memory=memory, writer="ann").run(docs, on_progress=seen.append)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[0] == IngestProgress(done=0, total=2, passages=0, source="handbook/people/leave.txt")
    assert (seen[-1].done, seen[-1].passages) == (2, 3)


async def test_a_path_with_nothing_to_read_is_a_clear_error(memory: LocalMemory, tmp_path: Path) -> None:
    empty, foreign, broken = tmp_path / "empty", tmp_path / "foreign", tmp_path / "broken"
    for folder in (empty, foreign, broken):
        folder.mkdir()
    (foreign / "photo.png").write_bytes(b"png")
    (broken / "a.pdf").write_bytes(b"no pdf")
    for path, text in [
        (tmp_path / "missing", "does not exist"),
        (empty, "no readable documents: readable are"),
        (foreign, r"no readable documents \(1 other files\)"),
        (foreign / "photo.png", "no readable documents"),
        (broken, "broken/a.pdf: it is not a PDF"),
    ]:
        with pytest.raises(NothingToRead, match=text):
            await _ingest(memory, path)


async def test_a_document_over_the_size_limit_is_reported(memory: LocalMemory, docs: Path) -> None:
    with (docs / "huge.txt").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    report = await _ingest(memory, docs)
    assert report.added == 2
    assert report.failed == (Failure("handbook/huge.txt", "it has 68 MB, more than 67 MB: split it"),)
