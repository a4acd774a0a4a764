"""DraftView: the end of what agents are writing just now, as text for people."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import TaskResult

if TYPE_CHECKING:
    from rich.console import Group

    from stretto.shared.requester import Event

__all__ = ["DraftView", "readable"]

_KEPT_CHARS: Final = 20_000
_SHOWN_CHARS: Final = 240
_SHOWN: Final = 2
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)("|\\?$)(\s*:)?', re.DOTALL)
_CUT_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{0,3})?$")


def readable(written: str) -> str:
    """The prose in a reply as far as it is written: the values of its JSON that are more than a word. What is no JSON is prose itself."""
    if not written.lstrip().startswith(("{", "[")):
        return written
    return "\n".join(_prose(written))


def _prose(written: str) -> Iterator[str]:
    for match in _STRING.finditer(written):
        value, end, is_key = match.groups()
        if is_key or " " not in value:
            continue
        try:
            yield json.loads(f'"{value if end == chr(34) else _CUT_ESCAPE.sub("", value)}"', strict=False)
        except ValueError:  # no JSON after all
            yield value


@dataclass(slots=True)
class _Draft:
    version: tuple[int, int]
    text: str = ""


@dataclass(slots=True)
class DraftView:
    """Keeps what is being written for each task, and shows the last of it for those that were heard of last."""

    _drafts: dict[str, _Draft] = field(default_factory=dict[str, _Draft])

    def take(self, event: "Event") -> None:
        """Take an event of the run."""
        match event.message:
            case Progress(kind="text", task=str(task)) as progress:
                version = progress.attempt, progress.reply
                draft = self._drafts.pop(task, None)
                if draft is None or draft.version != version:
                    draft = _Draft(version)
                draft.text = (draft.text + progress.text)[-_KEPT_CHARS:]
                self._drafts[task] = draft
            case Progress(kind="note", task=str(task)) | TaskResult(task=task):
                self._drafts.pop(task, None)
            case Answer():
                self._drafts.clear()
            case _:
                pass

    def lines(self) -> Iterator[str]:
        """One a task: its name and the end of its text."""
        for task, draft in list(self._drafts.items())[-_SHOWN:]:
            text = printable(" ".join(readable(draft.text).split()))
            if text:
                yield f"{task}: {f'…{text[-_SHOWN_CHARS:]}' if len(text) > _SHOWN_CHARS else text}"

    def __rich__(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        return Group(*(Text(line, "dim italic") for line in self.lines()))
