"""ServerClock: the server's time counts, not this machine's."""

from datetime import UTC, datetime, timedelta

from stretto.bus.server_clock import ServerClock

HOUR = timedelta(hours=1)
NEAR = timedelta(seconds=5)


def test_a_clock_that_is_an_hour_off_is_corrected() -> None:
    for off in (HOUR, -HOUR):
        clock = ServerClock()
        clock.note(datetime.now(UTC) + off)
        assert abs(clock.now() - (datetime.now(UTC) + off)) < NEAR


def test_an_old_message_does_not_turn_the_clock_back() -> None:
    clock = ServerClock()
    clock.note(datetime.now(UTC))
    clock.note(datetime.now(UTC) - 5 * HOUR)
    assert abs(clock.now() - datetime.now(UTC)) < NEAR


def test_without_a_message_it_is_this_machines_clock() -> None:
    assert abs(ServerClock().now() - datetime.now(UTC)) < NEAR
