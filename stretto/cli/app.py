"""The `stretto` command: its commands and options. Each imports what it needs when it is called, so that `--help` is quick."""

import os
from pathlib import Path
from typing import Annotated

import typer

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
memory_app = typer.Typer(
    no_args_is_help=True, help="The shared memory: run its service, add documents, search, forget."
)
team_app = typer.Typer(no_args_is_help=True)
app.add_typer(agent_app, name="agent")
app.add_typer(supervisor_app, name="supervisor")
app.add_typer(memory_app, name="memory")
app.add_typer(team_app, name="team", hidden=True)

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
Owned = Annotated[bool, typer.Option("--owned", hidden=True, help="Stop when standard input ends.")]
Tenant = Annotated[str | None, typer.Option(help="For whom; without it the setting `tenant`.")]
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress at stderr.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which the run fails.", min=0.1)] = None,
    tenant: Tenant = None,
    run_id: Annotated[
        str | None, typer.Option(help="The run's id: asking again under the same id is the same run.")
    ] = None,
) -> None:
    """Answer a question, from your documents. Uses the running system, or starts one for the length of the question."""
    from stretto.cli.ask import Question, ask
    from stretto.cli.execute import execute

    question = Question(text=text, docs=tuple(docs or ()), playbook=playbook, timeout_s=timeout, run=run_id)
    execute(
        lambda settings: ask(settings, question, as_json=as_json, quiet=quiet),
        as_json=as_json,
        tenant=tenant,
    )


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

    execute(lambda settings: serve_agent(settings, name, slots=slots, owned=owned))


@supervisor_app.command("run")
def supervisor_run(owned: Owned = False) -> None:
    """Serve as a supervisor until told to stop; any number may run."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_supervisor

    execute(lambda settings: serve_supervisor(settings, owned=owned))


@team_app.command("run")
def team_run(owned: Owned = False) -> None:
    """A supervisor and the specialists in one process."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_team

    execute(lambda settings: serve_team(settings, owned=owned))


@team_app.callback()
def _team() -> None:  # pyright: ignore[reportUnusedFunction]  # makes `team` a group although it has one command
    pass


@memory_app.command("run")
def memory_run(owned: Owned = False) -> None:
    """Own the memory of this data directory and serve it until told to stop."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_memory

    execute(lambda settings: serve_memory(settings, owned=owned))


def main() -> None:
    """The entry point."""
    app(prog_name="stretto")
