"""Dead letters on the command line: what is shown, what is not, and what people may type."""

import json
from datetime import UTC, datetime

import pytest

from stretto.bus.dead_letter_office import KeptLetter, LetterFilter
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.settlements import Standing
from stretto.cli.dead_view import letter_data, letter_lines, list_row, readable
from stretto.cli.errors import UsageFailed
from stretto.cli.letter_filter import letter_filter, point_in_time

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CANARY = "canary"


def kept(data: bytes = CANARY.encode()) -> KeptLetter:
    letter = DeadLetter(
        origin="stretto.run.0.acme.r1.request.ann",
        stream="STRETTO_RUNS_0",
        seq=7,
        at=AT,
        kind="unverified",
        deliveries=1,
        error="Unverified",
        reason="it says another tenant",
        data=data,
        headers={"Authorization": CANARY},
    )
    return KeptLetter(3, "f00", AT, "s1", letter, Standing("discarded", AT, "ann", 4), "acme")


def test_what_a_message_holds_is_shown_only_when_asked_for() -> None:
    letter = kept()
    shown = f"{list_row(letter)} {dict(letter_lines(letter))} {json.dumps(letter_data(letter))}"
    assert CANARY not in shown
    for told in ("stretto.run.0.acme.r1.request.ann", "unverified", "discarded", "another tenant", "Authorization"):
        assert told in shown
    assert CANARY in json.dumps(letter_data(letter, with_data=True)["headers"])
    assert letter_data(letter, with_data=True)["data_base64"] == "Y2FuYXJ5"


def test_a_text_is_shown_as_text_behind_its_headers() -> None:
    assert readable("zwölf\n".encode(), {"Kind": "odd"}) == "Kind: odd\n\nzwölf\n"
    assert readable(b"", {}) == ""


@pytest.mark.parametrize("data", [b"\x1b[31mred", b"\xff\xfe", b"ok\x00"])
def test_what_is_no_text_is_shown_in_hex_and_harms_no_terminal(data: bytes) -> None:
    shown = readable(data, {"Kind": "\x1b[31m"})
    assert data.hex(" ") in shown
    assert "\x1b" not in shown


def test_hex_has_sixteen_bytes_a_row_and_their_characters() -> None:
    first, second = readable(bytes([*range(0x30, 0x40), 0xFF]), {}).splitlines()
    assert first == f"00000000  {bytes(range(0x30, 0x40)).hex(' ')}  0123456789:;<=>?"
    assert second.split() == ["00000010", "ff", "."]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90s", datetime(2026, 1, 31, 11, 58, 30, tzinfo=UTC)),
        (" 15m ", datetime(2026, 1, 31, 11, 45, tzinfo=UTC)),
        ("2h", datetime(2026, 1, 31, 10, 0, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, 12, 0, tzinfo=UTC)),
        ("2026-01-30T10:00:00+00:00", datetime(2026, 1, 30, 10, 0, tzinfo=UTC)),
        ("2026-01-30", datetime(2026, 1, 30).astimezone(UTC)),
    ],
)
def test_points_in_time(text: str, found: datetime) -> None:
    assert point_in_time(text, now=AT) == found


@pytest.mark.parametrize("text", ["", "yesterday", "2", "h", "-2h", "2 weeks", "999999d", "2026-13-01"])
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(UsageFailed, match="write 15m, 2h, 7d, or a date"):
        point_in_time(text, now=AT)


def test_a_filter_without_options_is_all_that_is_unsettled() -> None:
    assert letter_filter(source=None, kind=None, tenant=None, since=None) == LetterFilter()


def test_a_filter_takes_subjects_as_people_type_them() -> None:
    wanted = letter_filter(source="task.researcher.>", kind="exhausted", tenant="acme", since="1h", now=AT)
    assert (wanted.source, wanted.kind, wanted.tenant) == ("task.researcher", "exhausted", "acme")
    assert wanted.since == datetime(2026, 1, 31, 11, 0, tzinfo=UTC)
    with pytest.raises(UsageFailed, match="tenant"):
        letter_filter(source=None, kind=None, tenant="Acme Inc.", since=None)


def test_settled_letters_are_listed_on_request() -> None:
    everything = letter_filter(source=None, kind=None, tenant=None, since=None, settled=True)
    assert everything.takes(kept())
    assert not letter_filter(source=None, kind=None, tenant=None, since=None).takes(kept())
