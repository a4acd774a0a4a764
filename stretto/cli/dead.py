"""Dead: what was given up, for people to look through."""

from stretto.bus.dead_letter_office import LetterFilter
from stretto.cli.dead_system import open_dead_system
from stretto.cli.dead_view import LIST_COLUMNS, letter_data, letter_lines, list_row, readable
from stretto.cli.output import write_json, write_table
from stretto.cli.terminal import printable, say
from stretto.shared.settings import Settings

__all__ = ["list_letters", "show_letter"]


async def list_letters(
    settings: Settings, wanted: LetterFilter, *, limit: int, before: int | None, as_json: bool
) -> int:
    """A page of dead letters, the newest first."""
    async with open_dead_system(settings) as dead:
        letters = await dead.office.newest(wanted, limit=limit, before=before)
        open_letters = await dead.office.unsettled()
    older = letters[-1].number if len(letters) == limit else None
    if as_json:
        write_json({"letters": [letter_data(one) for one in letters], "before": older, "unsettled": open_letters})
        return 0
    if letters:
        write_table(LIST_COLUMNS, map(list_row, letters))
    else:
        say(f"stretto: no such dead letter ({open_letters} unsettled in all)")
    if older is not None:
        say(f"stretto: for older ones: --before {older}")
    return 0


async def show_letter(settings: Settings, number: int, *, data: bool, as_json: bool) -> int:
    """One dead letter; its message's bytes only with `data`.

    Raises:
        UsageFailed: there is no such letter.
    """
    async with open_dead_system(settings) as dead:
        kept = await dead.letter(number)
    if as_json:
        write_json({"letter": letter_data(kept, with_data=data)})
        return 0
    write_table(("", ""), letter_lines(kept))
    if data:
        print(f"\n{printable(readable(kept.letter.data, kept.letter.headers))}")  # noqa: T201 (the command's own output)
    else:
        say("stretto: --data shows what the message holds")
    return 0
