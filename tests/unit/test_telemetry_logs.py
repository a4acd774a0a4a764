"""Logs: lines for people and for programs, with what is worked on, and without anything that was asked, read or answered."""

import io
import json
import logging
from typing import Any

import pytest
from nats.errors import Error

from stretto.bus.errors import TimedOut
from stretto.bus.tracing import trace_of
from stretto.bus.work import Work, working_on
from stretto.shared.settings import Settings, SettingsError
from stretto.shared.telemetry.log_lines import JsonLines, TextLines
from stretto.shared.telemetry.logs import LogHandler, set_up_logs

CANARY = "canary-7f3a"
WORK = Work(tenant="acme", run="run-4711-and-more", role="writer", task="draft", attempt=2)


class Log:
    """A logger of its own, and what it wrote."""

    def __init__(self, lines: JsonLines | TextLines, *, name: str = "stretto.agents.attempt") -> None:
        self._written = io.StringIO()
        self.logger = logging.Logger(name)  # noqa: LOG001 (one that no other test has)
        self.logger.addHandler(LogHandler(self._written, lines=lines))

    @property
    def text(self) -> str:
        return self._written.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def stumble() -> None:
    try:
        dict[str, str]()[CANARY]
    except KeyError as error:
        raise RuntimeError(f"cannot read {CANARY}") from error


def test_a_record_for_programs_says_what_is_worked_on() -> None:
    lines = JsonLines()
    lines.service, lines.instance = "stretto-writer", "writer-1"
    log = Log(lines)
    with working_on(WORK):
        log.logger.warning("%s comes again", "draft")
    log.logger.info("nothing in hand")
    at_work, idle = log.records
    assert at_work.pop("time").endswith("Z")
    assert at_work == {
        "level": "WARNING",
        "logger": "stretto.agents.attempt",
        "message": "draft comes again",
        "service": "stretto-writer",
        "instance": "writer-1",
        "tenant": "acme",
        "run": WORK.run,
        "role": "writer",
        "task": "draft",
        "attempt": 2,
        "trace_id": trace_of(WORK.tenant, WORK.run),
    }
    assert idle.keys() == {"time", "level", "logger", "message", "service", "instance"}


def test_work_on_a_whole_run_has_no_task_and_no_attempt() -> None:
    log = Log(JsonLines())
    with working_on(Work(tenant="acme", run="r1")):
        log.logger.warning("planned")
    assert log.records[0].keys() == {"time", "level", "logger", "message", "tenant", "run", "trace_id"}


def test_a_line_for_people_is_short_and_says_which_run() -> None:
    log = Log(TextLines())
    with working_on(WORK):
        log.logger.warning("comes again")
    line = log.text.split(" ", 1)[1]
    assert line == "WARNING agents.attempt: comes again  [run run-4711 draft/2]\n"


@pytest.mark.parametrize("coloured", [True, False])
def test_colours_are_only_where_they_are_wanted(coloured: bool) -> None:
    log = Log(TextLines(coloured=coloured))
    log.logger.error("the disk is full")
    assert ("\x1b[31m" in log.text) == coloured == ("\x1b" in log.text)


def test_nothing_in_a_message_makes_a_second_line_or_speaks_to_the_terminal() -> None:
    for lines in (TextLines(), JsonLines()):
        log = Log(lines)
        log.logger.error("first\n12:00:00 ERROR second\x1b[2J\u2028")
        assert len(log.text.splitlines()) == 1
        assert "\x1b" not in log.text


@pytest.mark.parametrize("lines", [TextLines, JsonLines])
def test_an_unforeseen_error_is_told_by_its_types_and_places(lines: type[TextLines | JsonLines]) -> None:
    log = Log(lines())
    try:
        stumble()
    except RuntimeError as error:
        log.logger.warning("failed: %s", error, exc_info=True)
        log.logger.error(error)  # noqa: TRY400 (as an error alone)
    assert CANARY not in log.text
    assert all(said in log.text for said in ("failed: RuntimeError", "KeyError", f"{__file__}:", "stumble"))


def test_the_errors_of_groups_are_told_each() -> None:
    log = Log(JsonLines())
    log.logger.error("failed", exc_info=ExceptionGroup(CANARY, [ValueError(CANARY), OSError(CANARY)]))
    assert CANARY not in log.text
    assert [one["type"] for one in log.records[0]["error"]["causes"]] == ["ValueError", "OSError"]


def test_texts_of_errors_are_told_where_that_is_asked_for() -> None:
    for lines in (TextLines(texts=True), JsonLines(texts=True)):
        log = Log(lines)
        try:
            stumble()
        except RuntimeError as error:
            log.logger.warning("failed: %s", error, exc_info=True)
        assert log.text.count(f"cannot read {CANARY}") == 2


def test_the_errors_of_the_bus_say_what_is_wrong() -> None:
    log = Log(JsonLines())
    log.logger.warning("cannot be written now: %s", TimedOut("no answer within 2 s"))
    log.logger.warning("cannot be read now: %s", TimedOut())
    log.logger.warning("NATS: %s", Error("nats: permissions violation for publish to stretto.task.writer"))
    assert [one["message"] for one in log.records] == [
        "cannot be written now: no answer within 2 s",
        "cannot be read now: TimedOut",
        "NATS: nats: permissions violation for publish to stretto.task.writer",
    ]


@pytest.mark.parametrize("name", ["httpx2", "openai._base_client", "anthropic", "chromadb.api", "opentelemetry.sdk"])
def test_libraries_are_heard_from_warnings_up_whatever_our_own_level_is(name: str) -> None:
    log = Log(JsonLines(), name=name)
    log.logger.debug("Request options: %s", CANARY)
    log.logger.info("HTTP Request: POST %s", CANARY)
    log.logger.warning("the pool is full")
    assert [one["message"] for one in log.records] == ["the pool is full"]


def test_a_library_that_writes_down_what_it_cannot_read_is_not_heard() -> None:
    log = Log(JsonLines(), name="mcp.client.stdio")
    log.logger.error("Failed to parse %s", CANARY)
    assert log.text == ""


def test_values_in_what_asyncio_and_warnings_say_are_left_out() -> None:
    log = Log(JsonLines(), name="asyncio")
    lost = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{CANARY}')>"
    log.logger.error(lost)
    warned = Log(JsonLines(), name="py.warnings")
    warning = f"agents/mine.py:12: UserWarning: got {CANARY}\n  warn(text)\n"
    warned.logger.warning(warning)
    assert [log.records[0]["message"], warned.records[0]["message"]] == [
        "Task exception was never retrieved",
        "agents/mine.py:12: UserWarning",
    ]


@pytest.mark.parametrize(
    ("words", "given"), [("%s and %s", (CANARY,)), ("%d", (CANARY,)), ("%(no)s", ({"a": CANARY},))]
)
def test_a_call_that_does_not_fit_its_words_shows_these_alone(words: str, given: tuple[object, ...]) -> None:
    log = Log(JsonLines())
    log.logger.warning(words, *given)
    assert log.records[0]["message"] == words


def test_what_cannot_be_written_is_not_shown_either() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    log = Log(JsonLines())
    log.logger.warning("got %s", Odd())
    assert log.text.startswith("a log record of stretto.agents.attempt, line ")
    assert CANARY not in log.text


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="log_level 'LOUD' is unknown: use DEBUG, INFO, WARNING or ERROR"):
        set_up_logs(Settings(log_level="LOUD"))


def test_a_host_that_logs_by_itself_is_left_alone() -> None:
    hosts = logging.StreamHandler(io.StringIO())
    root = logging.getLogger()
    root.addHandler(hosts)
    before = list(root.handlers)
    try:
        assert set_up_logs(Settings(log_format="json"), stream=io.StringIO()) is True
        assert set_up_logs(Settings(log_format="text"), stream=io.StringIO()) is False
        assert root.handlers == before
    finally:
        root.removeHandler(hosts)
