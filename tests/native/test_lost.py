"""When the other side counts as lost, and what happens to the controller."""

from __future__ import annotations

import numpy as np

from playback import AudioFormat, PlaybackController, State
from playback.lost_peer import HOLD
from playback.native.lost import LostPeer

RATE = 24_000


def speaking() -> PlaybackController:
    controller = PlaybackController(AudioFormat(RATE))
    controller.push(np.arange(RATE * 10, dtype=np.int16))
    controller.read(RATE)
    return controller


def steady(controller: PlaybackController, until: float) -> LostPeer:
    """The watch of somebody who has sent audio for a minute."""
    lost = LostPeer(controller, 2.0)
    for tenth in range(-600, 1):
        lost.look(until + tenth / 10, 5, 0)
    return lost


def test_whoever_sent_audio_is_lost_in_time_and_found_by_any_packet() -> None:
    controller = speaking()
    lost = steady(controller, 10.0)
    controller.read(RATE * 2)
    lost.look(11.9, 0, 0)
    assert not controller.holds
    lost.look(12.0, 0, 0)
    assert controller.holds == (HOLD,)
    controller.read(RATE)
    lost.look(13.0, 0, 0)
    lost.look(14.0, 1, 0)
    assert not controller.holds
    assert controller.state is State.SPEAKING
    # It goes on where it was heard last, two seconds before the pause; the ramp is over by then.
    assert controller.read(2000)[-1, 0] == RATE + 1999


def test_whoever_only_listens_is_not_lost_between_two_reports() -> None:
    controller = speaking()
    lost = LostPeer(controller, 2.0)
    for second in (0, 5, 30):
        lost.look(float(second), 0, 1)
        lost.look(second + 4.9, 0, 0)
        assert not controller.holds


def test_whoever_sends_no_audio_but_reports_is_taken_for_lost_once() -> None:
    controller = speaking()
    lost = steady(controller, 0.0)
    lost.look(3.0, 0, 0)
    assert controller.holds == (HOLD,)
    lost.look(4.0, 0, 1)
    assert not controller.holds
    lost.look(9.0, 0, 0)
    assert not controller.holds


def test_short_or_interrupted_audio_says_nothing_when_it_stops() -> None:
    controller = speaking()
    lost = LostPeer(controller, 2.0)
    for second in (0.0, 0.5, 1.0, 5.0, 5.5, 6.0, 9.5):
        lost.look(second, 5, 0)
    lost.look(60.0, 0, 0)
    assert not controller.holds


def test_whoever_suppresses_silence_is_not_lost_in_it() -> None:
    controller = speaking()
    lost = steady(controller, 0.0)
    lost.suppresses_silence()
    lost.look(30.0, 0, 0)
    assert not controller.holds


def test_the_end_releases_its_own_hold_alone() -> None:
    controller = speaking()
    lost = steady(controller, 0.0)
    lost.look(3.0, 0, 0)
    controller.pause()
    lost.release()
    lost.release()
    assert controller.holds == ("application",)


def test_a_closed_controller_is_left_alone() -> None:
    controller = speaking()
    lost = steady(controller, 0.0)
    controller.close()
    lost.look(3.0, 0, 0)
    lost.look(4.0, 1, 0)
    assert controller.state is State.CLOSED
