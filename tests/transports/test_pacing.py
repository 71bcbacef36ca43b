"""When frames are due, with times that are given."""

from __future__ import annotations

import pytest

from playback.pacing import Pacer, frame_samples

pytestmark = pytest.mark.portable

PTIME = 0.020


@pytest.mark.parametrize("start", [0.0, 0.1, 1e6 + 1 / 3])
def test_a_million_ticks_do_not_drift(start: float) -> None:
    pacer = Pacer()
    now = start
    for expected in range(1_000_000):
        now += pacer.wait(now)
        tick, late = pacer.tick(now)
        if tick != expected or late:
            pytest.fail(f"tick {tick}, {late} s late, where {expected} was due")
    assert now - start == pytest.approx(999_999 * PTIME, abs=1e-6)


def test_the_first_tick_is_due_at_once_whenever_that_is() -> None:
    pacer = Pacer()
    assert pacer.wait(1234.5) == 0.0
    assert pacer.tick(1234.5) == (0, 0.0)
    assert pacer.wait(1234.5) == pytest.approx(PTIME)
    assert pacer.wait(1234.507) == pytest.approx(PTIME - 0.007)


def test_a_wait_that_ended_too_early_asks_for_the_rest() -> None:
    pacer = Pacer()
    pacer.wait(0.0)
    pacer.tick(0.0)
    assert pacer.wait(0.019) == pytest.approx(0.001)
    assert pacer.wait(0.025) == 0.0


@pytest.mark.parametrize("late", [0.001, 0.020, 0.041, 0.059])
def test_up_to_60_ms_late_it_catches_up_without_a_gap(late: float) -> None:
    pacer = Pacer()
    pacer.wait(0.0)
    pacer.tick(0.0)
    now = PTIME + late
    ticks = []
    while not pacer.wait(now):
        ticks.append(pacer.tick(now))
    assert ticks == [(1 + number, 0.0) for number in range(1 + int(late / PTIME))]


@pytest.mark.parametrize(("late", "skipped"), [(0.0601, 3), (0.079, 3), (0.081, 4), (1.01, 50), (3600.01, 180_000)])
def test_beyond_60_ms_it_skips_whole_ticks_and_reports_by_how_much(late: float, skipped: int) -> None:
    pacer = Pacer()
    pacer.wait(0.0)
    pacer.tick(0.0)
    now = PTIME + late
    tick, found = pacer.tick(now)
    assert tick == 1 + skipped
    assert found == pytest.approx(late)

    following = pacer.wait(now)
    assert 0.0 < following <= PTIME  # no burst
    assert pacer.tick(now + following) == (2 + skipped, 0.0)
    assert now + following == pytest.approx((2 + skipped) * PTIME)  # still on the even sequence


@pytest.mark.parametrize("lead", [0.0, 0.005, 0.020, 0.035])
def test_the_lead_is_how_much_earlier_a_tick_is_due(lead: float) -> None:
    pacer = Pacer(PTIME, lead)
    now = 5.0
    for number in range(20):
        now += pacer.wait(now)
        assert pacer.tick(now) == (number, 0.0)
        assert now == pytest.approx(max(5.0, 5.0 + number * PTIME - lead))


def test_the_first_wait_is_the_anchor_even_if_the_tick_comes_later() -> None:
    pacer = Pacer()
    pacer.wait(10.0)
    assert pacer.tick(10.05) == (0, 0.0)
    assert pacer.wait(10.05) == 0.0  # the ticks of 10.02 and 10.04 are caught up
    assert pacer.tick(10.05) == (1, 0.0)


@pytest.mark.parametrize(
    ("rate", "seconds", "samples"),
    [(8_000, 0.02, 160), (22_050, 0.02, 441), (44_100, 0.02, 882), (48_000, 0.02, 960), (48_000, 0.01, 480)],
)
def test_frame_samples(rate: int, seconds: float, samples: int) -> None:
    assert frame_samples(rate, seconds) == samples


def test_20_ms_is_the_default() -> None:
    assert frame_samples(24_000) == 480


@pytest.mark.parametrize(("rate", "seconds"), [(11_025, 0.02), (22_050, 0.01), (48_000, 1 / 48_001)])
def test_a_rate_without_whole_frames_is_found(rate: int, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"{rate} Hz"):
        frame_samples(rate, seconds)


@pytest.mark.parametrize("seconds", [0.0, -0.02])
def test_a_frame_holds_something(seconds: float) -> None:
    with pytest.raises(ValueError, match="48000 Hz"):
        frame_samples(48_000, seconds)
