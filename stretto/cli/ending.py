"""Ending: how a command ends that has followed a run: with its answer, or with what a person has to decide first."""

import sys
from typing import Any

from stretto.cli.answer_view import answer_data, answer_text, decided, exit_code_of, outcome, so_far
from stretto.cli.errors import ExitCode
from stretto.cli.following import Parked
from stretto.cli.output import write_json
from stretto.cli.question_view import question_data, question_text, ways_to_settle
from stretto.cli.terminal import say, show
from stretto.shared.contracts.answer import Answer
from stretto.shared.settings import Settings, load_settings

__all__ = ["ending_data", "show_ending", "tell_ending", "write_ending"]


def write_ending(settings: Settings, run: str, ended: Answer | Parked, *, own: bool, as_json: bool) -> int:
    """All of it; return the exit code. `own`: the system ends with the command."""
    if as_json:
        write_json(ending_data(run, ended))
    else:
        show_ending(ended)
    tell_ending(settings, run, ended, own=own)
    return exit_code_of(ended) if isinstance(ended, Answer) else ExitCode.NEEDS_HUMAN


def ending_data(run: str, ended: Answer | Parked) -> dict[str, Any]:
    """It as one JSON object: the answer, or a run whose state is `waiting`, with its open questions."""
    match ended:
        case Answer():
            return answer_data(run, ended)
        case Parked(questions=questions):
            return {
                "run": run,
                "state": "waiting",
                "answered": False,
                "text": "",
                "questions": [question_data(asked) for asked in questions],
            }


def show_ending(ended: Answer | Parked) -> None:
    """What was asked for, to stdout: the answer, or the open questions."""
    match ended:
        case Answer():
            text = answer_text(ended)
        case Parked(questions=questions):
            text = "\n\n".join(question_text(asked) for asked in questions)
    if text:
        show(text)
    sys.stdout.flush()


def tell_ending(settings: Settings, run: str, ended: Answer | Parked, *, own: bool) -> None:
    """What a person should know beside it, to stderr."""
    match ended:
        case Answer(state="completed"):
            if said := decided(ended):
                say(f"stretto: run {run}: {said}")
        case Answer():
            say(f"stretto: run {run}: {outcome(ended)}")
            say(f"stretto: {so_far(ended)}; what happened: stretto trace {run}")
        case Parked():
            _tell_parked(settings, ended, own=own)
    for remark in ended.remarks if isinstance(ended, Answer) else ():
        say(f"stretto: {remark}")


def _tell_parked(settings: Settings, parked: Parked, *, own: bool) -> None:
    another = settings.tenant if load_settings().tenant != settings.tenant else None
    say(f"stretto: run {parked.run} waits for a person. Decide with one of:")
    for asked in parked.questions:
        for command in ways_to_settle(asked, tenant=another):
            say(f"    {command}")
    say(f"stretto: what it is about: stretto inbox show {parked.questions[0].question.id}")
    if own:
        say(f"stretto: the run is kept in {settings.data_dir}, and goes on when that is decided")
