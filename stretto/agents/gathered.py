"""Gathered: the quotes that a researcher keeps: those that stand in their passage word for word, each once."""

from stretto.agents.exact_quote import find_exact
from stretto.shared.contracts.findings import Finding, Quote
from stretto.shared.contracts.memory import Record
from stretto.shared.models.protocol import Document

__all__ = ["Gathered"]


class Gathered:
    """Findings as they come in; their ids begin with the task's."""

    def __init__(self, *, task: str) -> None:
        self._task = task
        self._findings: dict[tuple[str, str], Finding] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def keep(self, quote: Quote, record: Record) -> bool:
        """Take the quote, in the passage's own words; False where it does not stand there, or is here already."""
        exact = find_exact(quote.quote, record.text)
        if exact is None or (record.id, exact[1]) in self._findings:
            return False
        offset, words = exact
        self._findings[record.id, words] = Finding(
            id=f"{self._task}-{len(self._findings) + 1}",
            quote=words,
            source=record.source,
            place=record.place,
            passage=record.id,
            offset=offset,
            confidence=quote.confidence,
        )
        return True

    def best_first(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._findings.values(), key=lambda one: -one.confidence))

    def documents(self) -> list[Document]:
        """For a model that is to know what was found before."""
        return [
            Document(id=one.id, text=one.quote, kind="finding", source=one.source, place=one.place)
            for one in self._findings.values()
        ]
