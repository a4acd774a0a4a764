"""Dead settle: has dead letters replayed or discarded, those named or all that match."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from stretto.bus.dead_letter_office import KeptLetter, LetterFilter
from stretto.bus.errors import BusError, Busy, Refused, StreamMissing
from stretto.cli.dead_system import DeadSystem, open_dead_system
from stretto.cli.errors import ExitCode, UsageFailed
from stretto.cli.output import write_json
from stretto.cli.progress_view import ProgressView, progress_view
from stretto.cli.terminal import printable, say
from stretto.shared.settings import Settings

__all__ = ["SettleVerb", "settle_letters"]

SettleVerb = Literal["replay", "discard"]
_DONE: Final = {"replay": "replayed", "discard": "discarded"}
_PAGE: Final = 100
_SHOWN_EVERY_S: Final = 1.0


async def settle_letters(
    settings: Settings,
    verb: SettleVerb,
    numbers: Sequence[int],
    matching: LetterFilter,
    *,
    everything: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Settle the letters of these numbers, or all unsettled ones that match, the oldest first.

    Raises:
        UsageFailed: both are asked for, or neither; or there is no letter of a number.
        Refused, Busy: the one letter that was named cannot be settled. With several, those that cannot are told, and the code is 1.
    """
    if bool(numbers) == everything or (numbers and matching != LetterFilter()):
        raise UsageFailed(f"say which: `stretto dead {verb} NUMBER...`, or --all for all that match the other options")
    async with open_dead_system(settings) as dead:
        settle: Callable[[KeptLetter], Awaitable[None]] = (
            dead.replay.replay if verb == "replay" else dead.office.discard
        )
        if len(numbers) == 1:
            kept = await dead.letter(numbers[0])
            await settle(kept)
            results = [_result(kept, verb, None)]
        else:
            numbers = await _matching(dead, matching) if everything else numbers
            with progress_view(quiet=quiet) as view:
                results = await _settle_all(dead, numbers, settle, verb, view)
    return _tell(results, verb, as_json=as_json)


async def _matching(dead: DeadSystem, matching: LetterFilter) -> list[int]:
    """The numbers of all that match now, the oldest first: what is given up from now on is not among them."""
    found: list[int] = []
    while True:
        page = await dead.office.newest(matching, limit=_PAGE, before=found[-1] if found else None)
        found += [one.number for one in page]
        if len(page) < _PAGE:
            return found[::-1]


async def _settle_all(
    dead: DeadSystem,
    numbers: Sequence[int],
    settle: Callable[[KeptLetter], Awaitable[None]],
    verb: SettleVerb,
    view: ProgressView,
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    shown_s = time.monotonic()
    for done, number in enumerate(numbers):
        if time.monotonic() - shown_s >= _SHOWN_EVERY_S:
            shown_s = time.monotonic()
            view.step(f"{done} of {len(numbers)} letters {_DONE[verb]}")
        kept = await dead.letter(number)
        problem: BusError | None = None
        try:
            await settle(kept)
        except (Refused, Busy, StreamMissing) as error:  # the others may be in order; when the bus is away all stops
            problem = error
        results.append(_result(kept, verb, problem))
    return results


def _result(kept: KeptLetter, verb: SettleVerb, problem: BusError | None) -> dict[str, Any]:
    return {
        "number": kept.number,
        "id": kept.id,
        "origin": kept.letter.origin,
        "state": _DONE[verb] if problem is None else kept.standing.state,
        "problem": None if problem is None else f"{type(problem).__name__}: {problem}",
    }


def _tell(results: Sequence[dict[str, Any]], verb: SettleVerb, *, as_json: bool) -> int:
    failed = [one for one in results if one["problem"] is not None]
    for one in failed:
        say(f"stretto: letter {one['number']} is not {_DONE[verb]}: {one['problem']}")
    if as_json:
        write_json({"letters": list(results), "failed": len(failed)})
    elif len(results) == 1 and not failed:
        only = results[0]
        where = f": its message is back on {only['origin']}" if verb == "replay" else ": it is kept until it ages out"
        print(printable(f"letter {only['number']} is {_DONE[verb]}{where}"))  # noqa: T201 (the command's own output)
    else:
        print(f"{len(results) - len(failed)} of {len(results)} letters are {_DONE[verb]}")  # noqa: T201 (as above)
    return ExitCode.FAILED if failed else ExitCode.OK
