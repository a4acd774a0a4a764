"""`stretto top`: what is shown of figures, on a screen of any size, and what is counted of what is heard."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stretto.bus.agent_card import AgentCard, ModelHealth
from stretto.bus.envelope import Envelope
from stretto.bus.subjects import Subjects
from stretto.cli.top_moment import Moment
from stretto.cli.top_pulse import Happening, Pulse, Rate
from stretto.cli.top_view import top_lines
from stretto.shared.contracts.usage import Usage
from stretto.shared.figures import Figures, Lately, Queue, RoleFigures, RunFigures

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
HERE = NOW.replace(tzinfo=None).astimezone()
"""As events are shown: by the clock of this machine."""
SUBJECTS = Subjects()


def card(role: str, number: int, *, busy: int = 0, models: tuple[ModelHealth, ...] = ()) -> AgentCard:
    return AgentCard(
        role=role,
        instance=f"{role}-desk-{number}",
        started_at=NOW - timedelta(hours=3, minutes=5, seconds=7),
        slots=0 if role == "supervisor" else 4,
        busy=busy,
        health=models,
    )


READY = ModelHealth(model="anthropic:claude-sonnet-5")
OPEN = ModelHealth(
    model="anthropic:claude-sonnet-5",
    state="open",
    last_failure="Overloaded",
    last_failure_at=NOW - timedelta(seconds=8),
)
OFFLINE = ModelHealth(model="offline")
CARDS = (
    card("researcher", 1, busy=4, models=(READY, OFFLINE)),
    card("researcher", 2, busy=3, models=(OPEN, OFFLINE)),
    card("supervisor", 3, busy=12),
)
FIGURES = Figures(
    at=NOW,
    roles=(
        RoleFigures("researcher", 2, 8, 7, Queue(12, 7, 1, 4.25)),
        RoleFigures("supervisor", 1, 0, 12, None),
        RoleFigures("writer", 0, 0, 0, Queue(14_250, 0, 0, 3_725.0)),
    ),
    runs=RunFigures(open=15, in_flight=12, backlog=0, parked=3),
    dead_letters=2,
    lately=Lately(
        NOW - timedelta(minutes=5),
        {"completed": 88, "failed": 2},
        3,
        4,
        Usage(model_calls=9, input_tokens=1_200_000, output_tokens=34_000, cost_usd=1.5),
    ),
)
MOMENT = Moment(
    at=NOW,
    url="nats://127.0.0.1:4222",
    prefix="stretto",
    figures=FIGURES,
    cards=CARDS,
    rates={"researcher": Rate(420.4, 1), "supervisor": Rate(5.25, 0)},
    happenings=(Happening(HERE, "4f1c22aa", "writer draft, attempt 2, failed: KeyError"), Happening(HERE, "", "gone")),
)
GOLDEN = """
stretto top  nats://127.0.0.1:4222                                      12:00:00
runs    12 in flight   3 parked   backlog 0                       dead letters 2
5 min   88 completed (18/min)   2 failed   $1.50   1.2M tokens   4 retries
ROLE        ALIVE  BUSY  QUEUED  OLDEST  DONE/MIN  FAILED  MODELS
researcher      2   7/8      12    4.2s       420       1  1 suspect; claude-...
supervisor      1    12                       5.2       0
writer          0         14.2k   1h02m         0       0  nobody serves it
AGENT              BUSY     UP  MODELS
researcher-desk-2   3/4  3h05m  claude-sonnet-5 open, offline; Overloaded 8 s...
researcher-desk-1   4/4  3h05m  claude-sonnet-5, offline
supervisor-desk-3    12  3h05m
TIME      RUN       EVENT
12:00:00  4f1c22aa  writer draft, attempt 2, failed: KeyError
12:00:00            gone
"""


def shown(moment: Moment, *, width: int, height: int | None = None) -> list[str]:
    return [line.text.rstrip() for line in top_lines(moment, width=width, height=height)]


def test_a_screen_of_80_columns() -> None:
    assert "\n".join(["", *shown(MOMENT, width=80), ""]) == GOLDEN


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 9), (40, 5), (20, 1)])
def test_nothing_is_wider_or_higher_than_the_screen(width: int, height: int) -> None:
    many = [card("researcher", number, models=(OPEN, OFFLINE)) for number in range(100)]
    roles = tuple(RoleFigures(f"role-{number}", 1, 4, 1, Queue(1, 1, 0, 9.9)) for number in range(30))
    crowded = Moment(
        at=NOW,
        url="nats://user-of-some-length.example.org:4222",
        prefix="p" * 64,
        figures=Figures(NOW, roles, FIGURES.runs, 0, FIGURES.lately),
        cards=many,
        rates={},
        happenings=[*MOMENT.happenings] * 40,
        notice="no NATS server answers " * 9,
    )
    lines = top_lines(crowded, width=width, height=height)
    assert len(lines) == height
    assert max(len(line.text) for line in lines) <= width


def test_what_there_is_no_room_for_is_counted_and_the_newest_events_stay() -> None:
    many = [card("researcher", number) for number in range(40)]
    lines = shown(replace(MOMENT, cards=many), width=80, height=24)
    assert lines[-4] == "... and 28 more"
    assert lines[-3:] == [
        "TIME      RUN       EVENT",
        "12:00:00  4f1c22aa  writer draft, attempt 2, failed: KeyError",
        "12:00:00            gone",
    ]


def test_what_is_wrong_is_said_on_top() -> None:
    lines = shown(replace(MOMENT, notice="no NATS server answers"), width=80)
    assert lines[3] == "no NATS server answers"


def test_agents_whose_models_fail_come_first() -> None:
    (first, *_) = [line for line in shown(MOMENT, width=80) if line.startswith("researcher-desk")]
    assert first.startswith("researcher-desk-2   3/4  3h05m  claude-sonnet-5 open, offline; Overloaded")


def test_nobody_knows_what_is_parked_while_no_supervisor_is_alive() -> None:
    figures = Figures(NOW, (), RunFigures(open=3, in_flight=0, backlog=3, parked=None), 0)
    assert shown(replace(MOMENT, figures=figures), width=80)[1].startswith("runs    0 in flight   ? parked   backlog 3")


def test_programs_get_all_of_it() -> None:
    data = MOMENT.as_json()
    assert data["runs"] == {"open": 15, "in_flight": 12, "backlog": 0, "parked": 3}
    assert data["lately"]["ended"] == {"completed": 88, "failed": 2}
    researcher = data["roles"][0]
    assert researcher["queue"] == {"waiting": 12, "in_work": 7, "suspects": 1, "oldest_s": 4.25}
    # Of two agents, the one that does worse.
    assert [(one["model"], one["state"]) for one in researcher["models"]] == [
        ("anthropic:claude-sonnet-5", "open"),
        ("offline", "ready"),
    ]
    assert [one["instance"] for one in data["agents"]] == [one.instance for one in CARDS]


def heard(pulse: Pulse, kind: str, body: dict[str, Any], *, now: datetime) -> None:
    subject = SUBJECTS.parse_run(f"stretto.run.0.acme.r1.{kind}")
    envelope = Envelope(type="any", id="1", tenant="acme", run="r1", sender="somebody", sent_at=NOW, body=body)
    pulse.take(subject, envelope, now=now)


def test_the_last_minute_is_counted_and_no_more() -> None:
    pulse = Pulse(since=NOW)
    for second in range(90):
        heard(pulse, "result.writer.draft.1", {"output": {}}, now=NOW + timedelta(seconds=second))
    heard(pulse, "answer", {"state": "completed"}, now=NOW + timedelta(seconds=89))
    assert pulse.rates(NOW + timedelta(seconds=89)) == {"writer": Rate(60.0, 0), "supervisor": Rate(1.0, 0)}
    assert pulse.rates(NOW + timedelta(seconds=300)) == {}


def test_a_rate_is_told_before_a_minute_is_over() -> None:
    pulse = Pulse(since=NOW)
    for second in range(10):
        heard(pulse, "result.writer.draft.1", {"output": {}}, now=NOW + timedelta(seconds=second))
    assert pulse.rates(NOW + timedelta(seconds=10)) == {"writer": Rate(60.0, 0)}


def test_what_did_not_go_well_is_kept_the_newest_first_and_without_what_it_says() -> None:
    pulse = Pulse(since=NOW)
    failure = {"kind": "permanent", "error": "KeyError", "message": "canary"}
    heard(pulse, "result.writer.draft.2", {"failure": failure}, now=NOW)
    heard(pulse, "question.writer.draft.2.3", {"text": "canary"}, now=NOW)
    heard(pulse, "answer", {"state": "completed", "text": "canary"}, now=NOW)
    heard(pulse, "answer", {"state": "failed", "reason": "canary"}, now=NOW)
    heard(pulse, "answer", {"state": "cancelled"}, now=NOW)
    pulse.note("writer-1 has gone", now=NOW)
    assert [(one.run, one.text) for one in pulse.happenings()] == [
        ("", "writer-1 has gone"),
        ("r1", "the run is cancelled"),
        ("r1", "the run failed"),
        ("r1", "writer draft asks a person"),
        ("r1", "writer draft, attempt 2, failed: KeyError"),
    ]
    assert pulse.rates(NOW)["writer"].failed == 1
