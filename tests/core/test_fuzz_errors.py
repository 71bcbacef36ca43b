"""Listeners, sinks, observers and background that raise anything at any time: nobody else notices.

The random commands of `test_properties` run with somebody in each place who raises what the machine has asked for. The
audio, the counts and the events must be those of the model, which knows nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from numpy.typing import NDArray

from playback.events import EVENTS, INTERRUPTIONS, ErrorRaised, Event
from playback.sinks import CallbackSink
from tests.core.harness import Pair
from tests.core.model import Settings
from tests.core.test_properties import Playouts, settings_of_cuts, settings_of_fades
from tests.fuzzing import thorough


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


ERRORS: Final = (
    *(ValueError, LookupError, Panic, GeneratorExit, asyncio.CancelledError, StopIteration, KeyboardInterrupt),
    *(SystemExit, lambda: BaseExceptionGroup("several", [Panic()])),
)
PLACES: Final = (
    *("listener", "listener of errors", "pushed", "played", "control", "called", "edge", "event", "background"),
)


class Raiser:
    """Raises what was asked for at its next call, once, and notes it."""

    def __init__(self, pair: Disturbed) -> None:
        self.pair: Final = pair
        self.next: BaseException | None = None

    def __call__(self, *arguments: Any) -> None:
        error, self.next = self.next, None
        if error is not None:
            self.pair.has_raised(error, arguments)
            raise error


class Observes:
    """An observer of which each method may raise."""

    def __init__(self, pair: Disturbed) -> None:
        self.called, self.edge, self.event = (pair.raisers[name] for name in ("called", "edge", "event"))


class Disturbed(Pair):
    """A controller among those who raise, and its model, which has none of them.

    Args:
        settings: what both are made with.
        observed: whether somebody observes, which closes the fast paths.
        tapped: whether there are sinks.
    """

    def __init__(self, settings: Settings, *, observed: bool, tapped: bool) -> None:
        super().__init__(settings)
        self.raisers: Final = {place: Raiser(self) for place in PLACES}
        self.pending: Final[deque[BaseException]] = deque()
        """What the next reads are to raise."""
        self._expected: Final[list[BaseException]] = []
        self._behind: Final[list[Event]] = []
        for name in EVENTS:
            self.controller.on(name, self.raisers["listener of errors" if name == "error" else "listener"])
            self.controller.on(name, self._behind.append)
        if tapped:
            for when in ("pushed", "played"):
                self.controller.sinks.add(CallbackSink(self.raisers[when]), when=when)
            self.controller.sinks.add(CallbackSink(control=self.raisers["control"]))
        if observed:
            self.controller.observe(Observes(self))

    def arm(self, place: str, error: BaseException) -> None:
        """Have somebody raise at his next call."""
        if place == "background":
            sound = self.controller.background.add(np.zeros(7, np.int16), gain_db=0)
            sound.render = sound.render_steady = self.raisers[place]  # type: ignore[method-assign, assignment]
        self.raisers[place].next = error

    def has_raised(self, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Note what is raised now: the program's end goes on, and all else is an event, but not at an error."""
        if isinstance(error, INTERRUPTIONS):
            self.pending.append(error)
        elif not arguments or not isinstance(arguments[-1], ErrorRaised):
            self._expected.append(error)

    def compare(self, start: int | None = None) -> None:
        assert self._behind == self.emitted
        self._behind.clear()
        errors = [event.exception for event in self.emitted if isinstance(event, ErrorRaised)]
        assert [error for error in errors if any(error is other for other in self._expected)] == self._expected
        self.emitted[:] = [event for event in self.emitted if not self._was_injected(event)]
        self._expected.clear()
        super().compare(start)

    def _was_injected(self, event: Any) -> bool:
        return event.name == "error" and any(event.exception is error for error in self._expected)

    def read_frame(self, samples: int) -> NDArray[np.int16]:
        """Read, after what is to end the program was raised, by one read each, of which none is counted."""
        while self.pending and samples:
            position = self.controller.position
            with pytest.raises(INTERRUPTIONS) as raised:
                self.controller.read(samples)
            assert raised.value is self.pending.popleft()
            assert self.controller.position == position
        return super().read_frame(samples)


class DisturbedPlayouts(Playouts):
    """The random commands, and somebody who raises."""

    pair: Disturbed

    @initialize(data=st.data(), observed=st.booleans(), tapped=st.booleans())
    def begin(self, data: st.DataObject, observed: bool, tapped: bool) -> None:
        self.pair = Disturbed(data.draw(self.settings), observed=observed, tapped=tapped)

    @rule(place=st.sampled_from(PLACES), error=st.sampled_from(ERRORS))
    def arm(self, place: str, error: Any) -> None:
        self.pair.arm(place, error())

    def teardown(self) -> None:
        for raiser in self.pair.raisers.values():
            raiser.next = None
        self.pair.read(16)
        self.pair.read(16)


class Cuts(DisturbedPlayouts):
    """Without fades."""

    settings: ClassVar[st.SearchStrategy[Settings]] = settings_of_cuts


class Faded(DisturbedPlayouts):
    """With fades."""

    settings: ClassVar[st.SearchStrategy[Settings]] = settings_of_fades


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What a listener of errors raises is logged, each time."""
    logger = logging.getLogger("playback")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.mark.fuzz
@pytest.mark.parametrize("machine", [Cuts, Faded])
def test_whatever_is_raised_anywhere_nobody_else_notices(machine: type[DisturbedPlayouts]) -> None:
    run_state_machine_as_test(machine, settings=thorough(60, steps=50))
