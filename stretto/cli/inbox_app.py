"""The `stretto inbox` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stretto.cli.options import Json, Quiet, Tenant

if TYPE_CHECKING:
    from stretto.shared.inbox import Verb

__all__ = ["inbox_app"]

MAX_ANSWER_CHARS = 32_000

inbox_app = typer.Typer(
    no_args_is_help=True,
    help="What runs ask a person: look through it, and decide.",
    epilog="Each question is decided once. Exit codes: 0 decided, 1 refused (too late, or second), 2 usage, 3 system not reachable.",
)

Which = Annotated[str, typer.Argument(metavar="QUESTION", help="Its id, or how it begins.", show_default=False)]
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Follow the run to its end, or to its next question. Without either: where no system runs, one is started for that.",
        show_default=False,
    ),
]


@inbox_app.command("list")
def inbox_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at the most.")] = 50,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What waits for a person, the oldest first."""
    from stretto.cli.execute import execute
    from stretto.cli.inbox import list_questions

    execute(lambda settings: list_questions(settings, limit=limit, as_json=as_json), as_json=as_json, tenant=tenant)


@inbox_app.command("show")
def inbox_show(question: Which, tenant: Tenant = None, as_json: Json = False) -> None:
    """One question, with all that is needed to decide it."""
    from stretto.cli.execute import execute
    from stretto.cli.inbox import show_question

    execute(lambda settings: show_question(settings, question, as_json=as_json), as_json=as_json, tenant=tenant)


@inbox_app.command("answer")
def inbox_answer(
    question: Which,
    text: Annotated[str, typer.Argument(help="The answer; `-` reads it from standard input.", show_default=False)],
    wait: Wait = None,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer in your own words."""
    _decide(question, "answer", text, wait=wait, tenant=tenant, as_json=as_json, quiet=quiet)


@inbox_app.command("approve")
def inbox_approve(
    question: Which,
    note: Annotated[str, typer.Option(help="A word beside it; `-` reads it from standard input.")] = "",
    wait: Wait = None,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Approve what is asked for."""
    _decide(question, "approve", note, wait=wait, tenant=tenant, as_json=as_json, quiet=quiet)


@inbox_app.command("reject")
def inbox_reject(
    question: Which,
    note: Annotated[str, typer.Option(help="What to change; `-` reads it from standard input.")] = "",
    wait: Wait = None,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Reject what is asked for; of a draft, with a note it is revised once more, without one it is refused."""
    _decide(question, "reject", note, wait=wait, tenant=tenant, as_json=as_json, quiet=quiet)


def _decide(
    question: str, verb: "Verb", text: str, *, wait: bool | None, tenant: str | None, as_json: bool, quiet: bool
) -> NoReturn:
    from stretto.cli.execute import execute
    from stretto.cli.inbox_decide import decide

    if text == "-":
        text = sys.stdin.read()
    if verb == "answer" and not text.strip():
        raise typer.BadParameter("it is empty: say what the run is to go on with", param_hint="TEXT")
    if len(text) > MAX_ANSWER_CHARS:
        raise typer.BadParameter(f"it has {len(text)} characters, more than {MAX_ANSWER_CHARS}", param_hint="TEXT")
    execute(
        lambda settings: decide(settings, question, verb, text.strip(), wait=wait, as_json=as_json, quiet=quiet),
        as_json=as_json,
        tenant=tenant,
    )
