import pytest

import health
from health import Health


def test_silence_is_too_long_later_for_who_works_and_for_who_just_started():
    """Three limits: known and idle, never heard of, busy."""
    known = Health(started_at=100)
    known.note_heard(110)
    known.is_busy = False
    starting = Health(started_at=100, is_busy=False)
    busy = Health(started_at=100, heard_at=110)

    assert known.silence_s(110 + health.SILENCE_LIMIT_S) is None
    assert known.silence_s(111 + health.SILENCE_LIMIT_S) == health.SILENCE_LIMIT_S + 1
    assert starting.silence_s(100 + health.START_LIMIT_S) is None
    assert starting.silence_s(101 + health.START_LIMIT_S) == health.START_LIMIT_S + 1
    assert busy.silence_s(110 + health.BUSY_FACTOR * health.SILENCE_LIMIT_S) is None
    assert busy.silence_s(111 + health.BUSY_FACTOR * health.SILENCE_LIMIT_S)


def test_forgiven_silence_is_no_sign_of_life():
    """After a sleep of the machine the clock starts anew; whether it was ever well stays as it was."""
    slept = Health(started_at=100, is_busy=False)

    slept.forgive_silence(5000)

    assert slept.silence_s(5001) is None
    assert not slept.was_well


def test_work_is_processor_time_since_the_last_look():
    """The same figure twice is a process that stands still."""
    one = Health()

    one.note_work(3.0)
    assert one.is_busy
    one.note_work(3.0 + health.BUSY_S / 2)
    assert not one.is_busy


def test_the_wait_grows_until_a_steady_life_forgets_it():
    """The first end is followed by a short wait, many by the longest, a long life by none."""
    failing = Health(started_at=100)

    waits = [failing.backed_off_s(101) for _ in range(8)]

    assert waits[:3] == [pytest.approx(wait) for wait in (1, 3, 7)]
    assert waits[-1] == health.MAX_DELAY_S
    assert failing.failures == 8
    assert failing.backed_off_s(101 + health.STEADY_AFTER_S) == 0
    assert failing.failures == 0
