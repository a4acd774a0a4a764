"""Execute: runs one command in an event loop, and turns what it raises into a line for a person and an exit code."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import typer

from stretto.cli.check import check_usage
from stretto.cli.errors import ExitCode, Failure, failure_of
from stretto.cli.terminal import printable
from stretto.shared.settings import Settings, load_settings
from stretto.shared.telemetry.log_guard import origin_of
from stretto.shared.telemetry.logs import log_strays, set_up_logs

__all__ = ["execute"]

_log = logging.getLogger(__name__)

Command = Callable[[Settings], Coroutine[Any, Any, int]]


def execute(command: Command, *, as_json: bool = False, is_service: bool = False, **overrides: str | None) -> NoReturn:
    """Run `command` with the settings (`overrides`, which are tokens, win) and exit with the code that it returns.

    Expected errors are one line on stderr, and with `as_json` an object on stdout too. Others are defects: they show their traceback.
    What a service (`is_service`) ends with is a record of its log where that is for programs: there its stderr holds nothing else.
    """
    is_log = False
    try:
        for name, value in overrides.items():
            if value is not None:
                check_usage(value, name)
        settings = load_settings(**overrides)
        is_log = set_up_logs(settings) and is_service
        if is_log:
            log_strays()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(command(settings))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:
        if _reader_is_gone(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try once more at its exit
            raise typer.Exit(ExitCode.FAILED) from None
        failure = failure_of(error)
        if failure is None:
            if not is_log:
                raise
            _log.critical("ended by what nobody foresaw: %s", origin_of(error), exc_info=error)
            raise typer.Exit(ExitCode.FAILED) from None
        _log.info("where it came from", exc_info=error)
        if is_log:
            _log.critical("%s", printable(failure.message))
        else:
            _tell(failure, as_json=as_json)
        raise typer.Exit(failure.exit_code) from None
    raise typer.Exit(code)


def _reader_is_gone(error: Exception) -> bool:
    """Whether it only says that nobody reads our output any more; it may come out of task groups."""
    if isinstance(error, ExceptionGroup):
        return error.split(BrokenPipeError)[1] is None
    return isinstance(error, BrokenPipeError)


def _tell(failure: Failure, *, as_json: bool) -> None:
    print(f"stretto: {printable(failure.message)}", file=sys.stderr)  # noqa: T201 (the command's own output)
    if as_json:
        print(json.dumps({"error": {"kind": failure.kind, "message": failure.message}}))  # noqa: T201 (as above)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where there is one: it takes a third off every hop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
