"""The `stretto` command: its commands and options. Each imports what it needs when it is called, so that `--help` is quick."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import TyperException

from stretto.cli.conversations_app import conversations_app
from stretto.cli.dead_app import dead_app
from stretto.cli.inbox_app import inbox_app
from stretto.cli.memory_app import memory_app
from stretto.cli.models_app import models_app
from stretto.cli.options import Json, Owned, Quiet, Tenant
from stretto.cli.runs_app import runs_app
from stretto.cli.tools_app import tools_app
from stretto.cli.trace_app import trace_app

__all__ = ["app", "main"]

_EPILOG = "Exit codes: 0 answered, 1 failed or cancelled, 2 usage, 3 system not reachable, 4 needs a person."

app = typer.Typer(
    name="stretto",
    help="AI agents as services on a NATS bus, planned and merged by a supervisor.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
agent_app = typer.Typer(no_args_is_help=True, help="Run agents, and see who is alive.")
supervisor_app = typer.Typer(no_args_is_help=True, help="Run a supervisor.")
team_app = typer.Typer(no_args_is_help=True)
app.add_typer(agent_app, name="agent")
app.add_typer(supervisor_app, name="supervisor")
app.add_typer(memory_app, name="memory")
app.add_typer(models_app, name="models")
app.add_typer(tools_app, name="tools")
app.add_typer(runs_app, name="runs")
app.add_typer(conversations_app, name="conversations")
app.add_typer(inbox_app, name="inbox")
app.add_typer(dead_app, name="dead")
app.add_typer(trace_app, name="trace")
app.add_typer(team_app, name="team", hidden=True)

Slots = Annotated[int | None, typer.Option(min=1, max=1_000, help="How many tasks at once.")]


@app.callback()
def _stretto(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show logs, as STRETTO_LOG_LEVEL=INFO does.")
    ] = False,
) -> None:
    if verbose:
        os.environ["STRETTO_LOG_LEVEL"] = "INFO"  # the processes that this one starts are to show theirs too


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="The question.")],
    docs: Annotated[
        list[Path] | None, typer.Option(help="Answer from these documents: a folder or a file; may be repeated.")
    ] = None,
    playbook: Annotated[
        str | None, typer.Option(help="Follow this playbook; `planner` has the planner agent make a plan.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which the run fails.", min=0.1)] = None,
    tenant: Tenant = None,
    budget: Annotated[float | None, typer.Option(min=0, help="US dollars that the run may cost.")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens that its models may read and write in all.")
    ] = None,
    at_edge: Annotated[
        Literal["fail", "finish", "ask"] | None,
        typer.Option(help="When that is used up: fail, finish without paid models, or ask a person for more."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="The run's id: asking again under the same id is the same run.")
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option(help="Go on with this conversation; `new` begins one under an id that is made up and shown."),
    ] = None,
) -> None:
    """Answer a question, from your documents. Uses the running system, or starts one for the length of the question.

    Where a person has to decide something first, it says what and how, and ends with 4.
    """
    from stretto.cli.ask import Question, ask
    from stretto.cli.execute import execute

    question = Question(
        text=text,
        docs=tuple(docs or ()),
        playbook=playbook,
        timeout_s=timeout,
        run=run_id,
        conversation=conversation,
        budget={"usd": budget, "tokens": budget_tokens, "at_edge": at_edge},
    )
    execute(
        lambda settings: ask(settings, question, as_json=as_json, quiet=quiet),
        as_json=as_json,
        tenant=tenant,
    )


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="In the background: return when it is up.")] = False,
) -> None:
    """Run the whole system on this machine, and restart what dies, until Control-C or `stretto down`."""
    from stretto.cli.execute import execute

    if detach:
        from stretto.cli.detach import up_detached

        execute(up_detached)
    from stretto.cli.up import up

    execute(up)


@app.command()
def down() -> None:
    """Stop the system that runs on this data directory."""
    from stretto.cli.down import down
    from stretto.cli.execute import execute

    execute(down)


@app.command()
def status(as_json: Json = False) -> None:
    """The running system: its server, roles, queues, streams and memory."""
    from stretto.cli.execute import execute
    from stretto.cli.status import status

    execute(lambda settings: status(settings, as_json=as_json), as_json=as_json)


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print it once, as plain text.")] = False,
    interval: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two looks.")] = 2.0,
    as_json: Json = False,
) -> None:
    """A live screen of roles, queues, agents, runs, spending and what went wrong; `q` ends it. `--json` prints it once."""
    from stretto.cli.execute import execute
    from stretto.cli.top import top

    execute(lambda settings: top(settings, once=once, as_json=as_json, interval_s=interval), as_json=as_json)


@app.command()
def costs(
    by: Annotated[
        Literal["tenant", "day", "role", "model", "playbook"] | None,
        typer.Option(help="What to add up by; `tenant` is about all tenants. Without it a small overview."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only what ended since: 2h, 7d, or a date as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what ended before: likewise; a date is included.")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What runs cost, in US dollars: by day (UTC), role, model, playbook or tenant."""
    from stretto.cli.costs import period, show_costs
    from stretto.cli.execute import execute

    every = by == "tenant" and tenant is None
    execute(
        lambda settings: show_costs(
            settings, by=by, span=period(since, until), every_tenant=every, as_json=as_json, quiet=quiet
        ),
        as_json=as_json,
        tenant=tenant,
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is wrong here, and what to do."""
    from stretto.cli.doctor import doctor
    from stretto.cli.execute import execute

    execute(lambda settings: doctor(settings, as_json=as_json), as_json=as_json)


@app.command()
def healthcheck(role: Annotated[str, typer.Argument(help="supervisor, memory, or an agent's role.")]) -> None:
    """Exit with 0 when a process of the role on this host is alive."""
    from stretto.cli.execute import execute
    from stretto.cli.healthcheck import healthcheck

    execute(lambda settings: healthcheck(settings, role))


@app.command()
def version(as_json: Json = False) -> None:
    """The versions of Stretto and of what it stands on."""
    from stretto.cli.version import show_version

    show_version(as_json=as_json)


@agent_app.command("list")
def agent_list(as_json: Json = False) -> None:
    """Every agent that is alive."""
    from stretto.cli.execute import execute
    from stretto.cli.status import agent_list

    execute(lambda settings: agent_list(settings, as_json=as_json), as_json=as_json)


@agent_app.command("run")
def agent_run(
    name: Annotated[
        str, typer.Argument(help="researcher, writer, reviewer, escalation, planner, or your own as module:Class.")
    ],
    slots: Slots = None,
    owned: Owned = False,
) -> None:
    """Serve one agent until told to stop."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_agent

    execute(lambda settings: serve_agent(settings, name, slots=slots, owned=owned), is_service=True)


@supervisor_app.command("run")
def supervisor_run(owned: Owned = False) -> None:
    """Serve as a supervisor until told to stop; any number may run."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_supervisor

    execute(lambda settings: serve_supervisor(settings, owned=owned), is_service=True)


@team_app.command("run")
def team_run(owned: Owned = False) -> None:
    """A supervisor and the specialists in one process."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_team

    execute(lambda settings: serve_team(settings, owned=owned), is_service=True)


@team_app.callback()
def _team() -> None:  # pyright: ignore[reportUnusedFunction]  # makes `team` a group although it has one command
    pass


def main() -> None:
    """The entry point."""
    if "--json" not in sys.argv:
        app(prog_name="stretto")
        return
    try:
        code = app(prog_name="stretto", standalone_mode=False)
    except TyperException as error:  # wrong usage: told as an object, as every other error is
        message = error.format_message()
        print(f"stretto: {message}", file=sys.stderr)  # noqa: T201 (the command's own output)
        print(json.dumps({"error": {"kind": "UsageFailed", "message": message}}))  # noqa: T201 (as above)
        sys.exit(error.exit_code)
    sys.exit(code)
