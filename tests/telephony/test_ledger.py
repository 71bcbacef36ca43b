"""The ledger and the lead, by themselves: what is known to be heard, and when a frame is due."""

from __future__ import annotations

import pytest

from playback.telephony.lead import Lead
from playback.telephony.ledger import Ledger

pytestmark = pytest.mark.portable


def test_only_a_mark_that_came_back_confirms() -> None:
    ledger = Ledger()
    ledger.sent(160)
    first = ledger.mark()
    ledger.sent(320)
    assert (ledger.read, ledger.heard, ledger.outstanding, ledger.unmarked) == (480, 0, 480, 320)
    assert ledger.played(first)
    assert (ledger.heard, ledger.outstanding) == (160, 320)
    assert not ledger.played(first)
    assert not ledger.played("somebody else's")
    assert ledger.heard == 160


def test_a_later_mark_confirms_what_came_before() -> None:
    ledger = Ledger()
    names = []
    for _ in range(3):
        ledger.sent(160)
        names.append(ledger.mark())
    assert ledger.played(names[1])
    assert ledger.heard == 320
    assert not ledger.played(names[0])
    assert ledger.played(names[2])
    assert ledger.heard == 480


def test_marks_of_before_a_recall_confirm_nothing() -> None:
    ledger = Ledger()
    ledger.sent(160)
    heard = ledger.mark()
    ledger.sent(160)
    cleared = ledger.mark()
    ledger.played(heard)
    assert ledger.recall() == 160
    assert (ledger.read, ledger.heard, ledger.unmarked) == (160, 160, 0)
    ledger.sent(320)
    again = ledger.mark()
    assert not ledger.played(cleared)
    assert ledger.heard == 160
    assert again != cleared
    assert ledger.played(again)
    assert ledger.heard == 480


def test_what_can_not_be_cleared_will_be_heard() -> None:
    ledger = Ledger()
    ledger.sent(320)
    name = ledger.mark()
    assert ledger.recall(lost=False) == 320
    assert not ledger.played(name)
    assert ledger.outstanding == 0


def test_silence_that_is_not_sent_is_heard_with_what_came_before() -> None:
    ledger = Ledger()
    ledger.skipped(160)
    assert ledger.heard == 160
    ledger.sent(160)
    ledger.skipped(160)  # before the mark
    name = ledger.mark()
    ledger.skipped(160)
    assert ledger.heard == 160
    ledger.played(name)
    assert ledger.heard == ledger.read == 640


def sent(lead: Lead, now: float, frames: int, *, ahead: bool = True) -> float:
    """Send frames as they are due; when the last was."""
    for _ in range(frames):
        now += lead.wait(now, ahead=ahead)
        lead.take(now)
        lead.sent(now)
    return now


def test_frames_go_ahead_by_the_lead_and_no_further() -> None:
    lead = Lead(0.2)
    assert sent(lead, 5.0, 10) == 5.0
    assert lead.wait(5.0, ahead=True) == pytest.approx(0.02)
    assert sent(lead, 5.0, 50) == pytest.approx(6.0)


def test_a_frame_that_is_not_there_yet_is_due_when_the_buffer_is_empty() -> None:
    lead = Lead(0.2)
    sent(lead, 0.0, 10)
    assert lead.wait(0.05, ahead=False) == pytest.approx(0.15)
    assert lead.wait(0.05, ahead=True) == 0.0


def test_a_late_loop_catches_up_to_the_lead_without_a_burst_beyond() -> None:
    lead = Lead(0.2)
    sent(lead, 0.0, 10)
    assert lead.take(1.2) == pytest.approx(1.0)  # the buffer was empty at 0.2
    lead.sent(1.2)
    assert sent(lead, 1.2, 9) == 1.2
    assert lead.wait(1.2, ahead=True) == pytest.approx(0.02)


def test_small_delays_of_an_idle_clock_do_not_add_up() -> None:
    lead, now = Lead(0.2), 0.0
    for _ in range(500):
        now += lead.wait(now, ahead=False) + 0.003
        assert lead.take(now) == 0.0
        lead.skipped(now)
    assert now == pytest.approx(10.0, abs=0.03)


def test_after_a_clear_the_buffer_is_empty() -> None:
    lead = Lead(0.2)
    sent(lead, 0.0, 10)
    lead.cleared(0.0)
    assert lead.wait(0.0, ahead=False) == 0.0
    assert lead.ends(0.0) == 0.0
    assert sent(lead, 0.0, 10) == 0.0


def test_a_lead_of_one_frame_waits_for_each() -> None:
    lead = Lead(0.02)
    assert sent(lead, 0.0, 2) == pytest.approx(0.02)
