"""Logs: set up in each process's main. Lines for people on a terminal, JSON lines elsewhere; never what was asked, read or answered."""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import TextIO

from stretto.shared.settings import Settings, SettingsError
from stretto.shared.telemetry.log_guard import is_let_in
from stretto.shared.telemetry.log_lines import JsonLines, TextLines

__all__ = ["LogHandler", "log_strays", "name_process", "set_up_logs"]

_log = logging.getLogger(__name__)


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes what may be said, line by line."""

    def __init__(self, stream: TextIO, *, lines: JsonLines | TextLines) -> None:
        super().__init__(stream)
        self.lines = lines
        self.setFormatter(lines)
        self.addFilter(is_let_in)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the module's name for it)
        """Say only which call it was: the module's own way shows the arguments."""
        self.stream.write(f"a log record of {record.name}, line {record.lineno}, cannot be written\n")


def set_up_logs(settings: Settings, *, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Log to `stream` (stderr), unless whoever hosts the process has set up logs already. Returns whether lines are for programs.

    Raises:
        SettingsError: there is no such level.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise SettingsError(f"settings: log_level {settings.log_level!r} is unknown: use DEBUG, INFO, WARNING or ERROR")
    written: TextIO = sys.stderr if stream is None else stream
    people = written.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not people)
    root = logging.getLogger()
    if all(isinstance(one, LogHandler) for one in root.handlers):
        lines = (
            JsonLines(texts=settings.log_error_texts)
            if as_json
            else TextLines(
                coloured=people and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
                dated=not people,
                texts=settings.log_error_texts,
            )
        )
        root.handlers[:] = [LogHandler(written, lines=lines)]
        root.setLevel(level)
        logging.captureWarnings(not people)
    return as_json


def log_strays() -> None:
    """Log what is raised where nobody can catch it, in threads and finalizers: Python would write it to stderr, with all that it says."""

    def of_thread(args: threading.ExceptHookArgs) -> None:
        _log.error("a thread ended by what nobody foresaw", exc_info=args.exc_value)

    def of_finalizer(args: "sys.UnraisableHookArgs") -> None:
        _log.error("raised where nobody can catch it", exc_info=args.exc_value)

    threading.excepthook = of_thread
    sys.unraisablehook = of_finalizer


def name_process(service: str, instance: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """Say which process it is that logs from now on: as its spans do."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogHandler) and isinstance(handler.lines, JsonLines):
            handler.lines.service = environ.get("OTEL_SERVICE_NAME") or f"stretto-{service}"
            handler.lines.instance = instance
