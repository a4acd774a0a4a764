"""The `stretto dead` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from typing import Annotated, Literal

import typer

from stretto.cli.options import Json, Quiet

__all__ = ["dead_app"]

dead_app = typer.Typer(
    no_args_is_help=True,
    help="What nobody could process: look through it, put it back, or lay it aside.",
    epilog="A dead letter keeps its message as it came; what it holds is shown only by `show --data`.",
)

Source = Annotated[
    str | None, typer.Option(help="What came on this subject or below it: `task.researcher`, `run.0.acme`.")
]
Kind = Annotated[
    Literal["undecodable", "unverified", "unprocessable", "exhausted"] | None,
    typer.Option(
        help="What was wrong: no message of ours, another origin than it says, of no use to anybody, tried too often."
    ),
]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Whose messages; without it everybody's.")]
Since = Annotated[str | None, typer.Option(help="Given up since: 15m, 2h, 7d, or a date.")]
Letters = Annotated[list[int] | None, typer.Argument(help="Their numbers, as the list shows them.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All unsettled letters that match the other options.")]


@dead_app.command("list")
def dead_list(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at the most.")] = 20,
    before: Annotated[int | None, typer.Option(min=1, help="Older ones: with numbers below this one.")] = None,
    source: Source = None,
    kind: Kind = None,
    tenant: OfTenant = None,
    since: Since = None,
    settled: Annotated[bool, typer.Option("--settled", help="Those replayed or discarded too.")] = False,
    as_json: Json = False,
) -> None:
    """The dead letters that nobody has settled yet, newest first."""
    from stretto.cli.dead import list_letters
    from stretto.cli.execute import execute
    from stretto.cli.letter_filter import letter_filter

    execute(
        lambda settings: list_letters(
            settings,
            letter_filter(source=source, kind=kind, tenant=tenant, since=since, settled=settled),
            limit=limit,
            before=before,
            as_json=as_json,
        ),
        as_json=as_json,
    )


@dead_app.command("show")
def dead_show(
    letter: Annotated[int, typer.Argument(help="Its number, as the list shows it.")],
    data: Annotated[bool, typer.Option("--data", help="And what the message holds: text, or else hex.")] = False,
    as_json: Json = False,
) -> None:
    """One dead letter: where it came from, what was wrong, and what became of it."""
    from stretto.cli.dead import show_letter
    from stretto.cli.execute import execute

    execute(lambda settings: show_letter(settings, letter, data=data, as_json=as_json), as_json=as_json)


@dead_app.command("replay")
def dead_replay(
    letters: Letters = None,
    everything: Everything = False,
    source: Source = None,
    kind: Kind = None,
    tenant: OfTenant = None,
    since: Since = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put messages back where they came from, each exactly once: after what was wrong has been mended.

    If a replay is cut off, replay again: it finds out what is back already. What still cannot be processed becomes a new dead letter.
    """
    _settle("replay", letters, everything, source, kind, tenant, since, as_json=as_json, quiet=quiet)


@dead_app.command("discard")
def dead_discard(
    letters: Letters = None,
    everything: Everything = False,
    source: Source = None,
    kind: Kind = None,
    tenant: OfTenant = None,
    since: Since = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lay dead letters aside for good: they are not listed any more and cannot be replayed.

    They can still be looked at (`list --settled`) until they are older than the setting `retention_days` allows.
    """
    _settle("discard", letters, everything, source, kind, tenant, since, as_json=as_json, quiet=quiet)


def _settle(
    verb: Literal["replay", "discard"],
    letters: list[int] | None,
    everything: bool,
    source: str | None,
    kind: Kind,
    tenant: str | None,
    since: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from stretto.cli.dead_settle import settle_letters
    from stretto.cli.execute import execute
    from stretto.cli.letter_filter import letter_filter

    execute(
        lambda settings: settle_letters(
            settings,
            verb,
            letters or (),
            letter_filter(source=source, kind=kind, tenant=tenant, since=since),
            everything=everything,
            as_json=as_json,
            quiet=quiet,
        ),
        as_json=as_json,
    )
