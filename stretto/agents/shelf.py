"""Shelf: the passages that a researcher has at hand, and those of them that are still to be read."""

from collections.abc import Iterable, Sequence

from stretto.shared.contracts.memory import Hit, Record
from stretto.shared.models.protocol import Document

__all__ = ["Shelf"]


class Shelf:
    """Takes in each passage once, and no more of them than `most`."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._passages: dict[str, Document] = {}
        self._records: dict[str, Record] = {}
        self._unread: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def sources(self) -> int:
        """How many documents the passages to be read are from."""
        return len({(self._records[one].root, self._records[one].source) for one in self._unread})

    def record(self, id_: str) -> Record | None:
        """The passage of this id, if it is here."""
        return self._records.get(id_)

    def put(self, hits: Iterable[Hit], *, most: int | None = None) -> None:
        """Add what was found and is not here yet, `most` of it at the most."""
        new = [hit for hit in hits if hit.record.id not in self._records]
        for hit in new[:most]:
            self._put(hit.record, max(0.0, hit.similarity))

    def put_around(self, record: Record, beside: Sequence[Record]) -> None:
        """Add what stands next to a passage; with it, the passage is to be read again, in the order of their document."""
        if len(self) >= self._most or all(one.id in self._records for one in beside):
            return
        for one in sorted((record, *beside), key=lambda one: one.ordinal):
            self._put(one, None)

    def take(self) -> list[Document]:
        """What is still to be read; it is read now."""
        taken = [self._passages[one] for one in self._unread]
        self._unread.clear()
        return taken

    def _put(self, record: Record, score: float | None) -> None:
        if record.id not in self._records:
            if len(self._records) >= self._most:
                return
            self._records[record.id] = record
            self._passages[record.id] = Document(
                id=record.id,
                text=record.text,
                kind="passage",
                source=record.source,
                place=record.place,
                score=score,
            )
        self._unread[record.id] = None
