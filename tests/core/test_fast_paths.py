"""The fast paths change nothing: a controller that has them does exactly what one does that is watched, and has none.

How far a plain copy may go before the next event, a mark or the end, is a number of its own; so is how much may be
pushed before the maximum. Short audio in short pieces brings each of these limits to each place of a read and a piece.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, BufferFull, Fades, PlaybackController, Utterance
from playback.events import EVENTS, Event
from tests.fuzzing import thorough

RATE: Final = 8_000

Action = tuple[str, int]


class Watcher:
    """Closes the fast paths."""

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None: ...

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None: ...

    def event(self, event: Event) -> None: ...


class Playout:
    """One of the two; each action gives what it returned.

    Args:
        watched: whether its fast paths are closed.
        channels: of the output.
        options: of the controller.
    """

    def __init__(self, watched: bool, channels: int = 1, **options: Any) -> None:
        self.controller: Final = PlaybackController(AudioFormat(RATE, channels), fades=Fades(0, 0, 0), **options)
        self.channels: Final = channels
        self.seen: Final[list[tuple[Any, ...]]] = []
        self.value = 0
        for name in EVENTS:
            self.controller.on(name, self.see)
        if watched:
            self.controller.observe(Watcher())
        self.utterance: Utterance = self.controller.utterance()

    def see(self, event: Any) -> None:
        """Keep what is to be compared of an event."""
        who = getattr(event, "utterance", None)
        self.seen.append((event.name, event.position, who and who.id, getattr(event, "payload", None)))

    def act(self, action: Action) -> object:
        """Do one thing."""
        what, number = action
        match what:
            case "read":
                return self.controller.read(number).tolist()
            case "push":
                values = np.arange(self.value + 1, self.value + 1 + number, dtype=np.int16)
                self.value += number
                try:
                    return self.utterance.push(np.repeat(values, self.channels).tobytes())
                except BufferFull:
                    return "full"
            case "mark":
                return self.utterance.mark(number, at=number / RATE)
            case "rewind":
                return self.controller.pause(), self.controller.resume(number / RATE)
            case "next":
                self.utterance = self.controller.utterance()
                return None
            case "end":
                return self.utterance.end()
            case "gain":
                self.controller.gain_db = -number
                return None
            case _:
                return getattr(self.controller, what)()

    def state(self) -> tuple[Any, ...]:
        """What there is to see."""
        controller, utterance = self.controller, self.utterance
        counts = controller.buffered, controller.position, controller.stats
        return controller.leaf, counts, utterance.accepted, utterance.played, utterance.report is None


def compare(actions: list[Action], **options: Any) -> None:
    """Do the same with and without the fast paths."""
    fast, slow = Playout(False, **options), Playout(True, **options)
    for number, action in enumerate(actions):
        assert fast.act(action) == slow.act(action), actions[: number + 1]
        assert fast.state() == slow.state(), actions[: number + 1]
        assert fast.seen == slow.seen, actions[: number + 1]


def limits() -> Iterator[list[Action]]:
    """Each place of a mark and of the end, within pieces and reads of each length, known ahead of time or late."""
    for piece, read, mark, when in itertools.product((1, 2, 3, 5), (1, 2, 3), range(13), (0, 2, 5)):
        pieces: list[Action] = [("push", piece)] * (12 // piece)
        reads: list[Action] = [("read", read)] * (15 // read)
        reads.insert(min(when, len(reads)), ("mark", mark))
        for end in (0, 3, len(reads)):
            yield [*pieces, *reads[:end], ("end", 0), *reads[end:]]


def test_a_mark_and_the_end_at_each_place_of_each_read() -> None:
    for actions in limits():
        compare([("read", actions[-1][1]), *actions])


def test_a_rewind_to_each_place_of_pieces_of_other_lengths() -> None:
    for first, second, read, back in itertools.product((1, 2, 3, 7), (1, 2, 5, 9), (1, 2, 3), range(1, 12)):
        pieces: list[Action] = [("push", first), ("push", second), ("push", 4), ("push", 9)]
        reads: list[Action] = [("read", read)] * (10 // read)
        compare([("read", read), *pieces, *reads, ("rewind", back), *reads, ("end", 0), *reads, *reads])


@pytest.mark.parametrize("maximum", range(8, 20))
def test_the_maximum_is_never_exceeded(maximum: int) -> None:
    for piece, read in itertools.product((1, 2, 3, 5, 7), (1, 3, 4)):
        actions: list[Action] = [("push", piece), ("push", piece), ("read", read), ("push", piece), ("push", piece)]
        options = {"max_buffered_seconds": maximum / RATE, "high_water_seconds": maximum / RATE}
        compare([("read", read), *actions * 6, ("end", 0), *[("read", read)] * 40], **options)


numbers = st.integers(0, 9)
actions = st.one_of(
    st.tuples(st.sampled_from(["push", "push", "push", "read", "read", "read", "read", "mark", "rewind"]), numbers),
    st.tuples(st.sampled_from(["end", "next", "pause", "resume", "interrupt", "lock", "unlock", "gain"]), numbers),
)


@pytest.mark.fuzz
@given(
    actions=st.lists(actions, min_size=10, max_size=80),
    channels=st.sampled_from([1, 2]),
    prebuffer=st.sampled_from([0, 0, 6]),
    maximum=st.sampled_from([12, 30, 10_000]),
    history=st.sampled_from([0, 5, 10_000]),
)
@thorough(200)
def test_any_order_of_actions(actions: list[Action], channels: int, prebuffer: int, maximum: int, history: int) -> None:
    compare(
        actions,
        channels=channels,
        prebuffer_seconds=prebuffer / RATE,
        high_water_seconds=maximum / RATE,
        max_buffered_seconds=maximum / RATE,
        history_seconds=history / RATE,
        input_timeout_seconds=60 / RATE,
    )
