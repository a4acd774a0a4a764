"""So far: what a run is told of its conversation: the latest turns, and a summary of those before."""

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Final

from stretto.shared.context.cut import cut_to_chars
from stretto.shared.contracts.conversation import Conversation, Turn

__all__ = ["conversation_so_far"]

_TURNS: Final = 8
_TURNS_CHARS: Final = 12_000
_REQUEST_CHARS, _ANSWER_CHARS = 1_000, 3_000
_SUMMARY_CHARS: Final = 3_000
_LINE_CHARS: Final = 200


def conversation_so_far(conversation: str, turns: Sequence[Turn]) -> Conversation:
    """What is handed on of the turns, given oldest first; never more than some 15,000 characters, however many turns there are.

    The latest turns are whole, or nearly: long ones are cut. Of those before, the summary has a line each, with the beginnings of what was
    asked and answered: as many of the latest as have room. It is made of the turns' own words, so it needs no model, costs nothing, and
    is the same each time.
    """
    latest = [_shortened(one) for one in turns[-_TURNS:]]
    sizes = accumulate(len(one.request) + len(one.answer) for one in reversed(latest))
    kept = max(1, sum(1 for _ in takewhile(lambda size: size <= _TURNS_CHARS, sizes)))
    latest = latest[-kept:]
    before = turns[: len(turns) - len(latest)]
    return Conversation(id=conversation, turns=tuple(latest), summary=_summary(before), left_out=len(before))


def _shortened(turn: Turn) -> Turn:
    return turn.model_copy(
        update={
            "request": cut_to_chars(turn.request, _REQUEST_CHARS),
            "answer": cut_to_chars(turn.answer, _ANSWER_CHARS),
        }
    )


def _summary(turns: Sequence[Turn]) -> str:
    lines: list[str] = []
    left = _SUMMARY_CHARS
    for turn in reversed(turns):
        line = f"- {_first_words(turn.request)} → {_first_words(turn.answer) if turn.answered else 'not answered'}"
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def _first_words(text: str) -> str:
    return cut_to_chars(" ".join(text[: 2 * _LINE_CHARS].split()), _LINE_CHARS)
