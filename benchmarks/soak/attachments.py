"""What is attached to a controller of the soak: sinks, background voices, listeners, streams of events, a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

from benchmarks.soak.audio import MUSIC
from benchmarks.soak.ledger import Account, Hiccup
from playback import PlaybackController
from playback.background.mixer import BackgroundSound, LiveSound
from playback.core.emitter import EventStream
from playback.events import EVENTS, Event, EventName
from playback.sinks import CallbackSink, Chunk, When
from playback.tracing import Trace

MOST: Final = 3
"""Of each kind at a time."""

TRACED: Final = 50
"""Records of a flight recorder."""


class Attachments:
    """Adds and removes whatever a controller can have beside its producers.

    Args:
        controller: what they are attached to.
        account: is notified of what is raised on purpose.
        chance: what everything depends on.
        quiet: whether nothing may sound beneath the speech.
    """

    def __init__(self, controller: PlaybackController, account: Account, chance: Random, *, quiet: bool) -> None:
        self.sinks: Final[list[CallbackSink]] = []
        self.voices: Final[list[BackgroundSound]] = []
        self.streams: Final[list[EventStream]] = []
        self.trace: Trace | None = None
        self.acts: Final[tuple[Callable[[], None], ...]] = (
            self._add_a_sink,
            self._remove_a_sink,
            self._add_a_listener,
            self._remove_a_listener,
            self._listen_once,
            self._follow_events,
            self._begin_or_stop_a_trace,
            *(() if quiet else (self._add_a_voice, self._add_a_voice, self._stop_a_voice, self._change_the_background)),
        )
        """What may happen; each is to be called."""

        self._controller: Final = controller
        self._account: Final = account
        self._chance: Final = chance
        self._listeners: Final[list[tuple[EventName, Callable[[Any], object]]]] = []
        self._counts: Final[dict[CallbackSink, list[int]]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._calls = self._awaits = 0
        self._quiet: Final = quiet
        self._stays = False

    def stay(self) -> None:
        """Begin with some that stay for the whole life of the controller."""
        self._controller.sinks.add(self._counting(), when="played")
        self._controller.sinks.add(self._awaited(), when="pushed")
        self._controller.on("state_changed", self._hear_later())
        self._controller.on("mark_reached", self._raise_now_and_then)
        if not self._quiet:
            self._controller.background.add(MUSIC.tobytes())
        Trace(self._controller, TRACED)
        self._stays = True

    def leave(self) -> None:
        """Remove all that does not stay."""
        while self.sinks:
            self._remove_a_sink()
        while self._listeners:
            self._remove_a_listener()
        for voice in self.voices:
            voice.stop(0.0)
        self.voices.clear()
        if self.trace is not None:
            self._begin_or_stop_a_trace()

    async def see_off(self) -> None:
        """Wait until nobody reads a stream of events any more."""
        for stream in self.streams:
            await stream.aclose()
        self.streams.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def verify(self) -> None:
        """See that sinks have heard every sample; of a closed controller they hear none."""
        if self._account.closed:
            return
        for since, heard in self._counts.values():
            read = self._controller.position - since
            self._account.check(heard == read, "a sink hears every sample that is read", heard, read)

    # Sinks

    def _add_a_sink(self) -> None:
        if len(self.sinks) < MOST:
            when: When = self._chance.choice(("pushed", "played"))
            made = self._chance.choice((self._counting, self._awaited, self._raising))
            sink = made() if when == "played" or made != self._counting else CallbackSink(_ignore, _ignore)
            self.sinks.append(self._controller.sinks.add(sink, when=when))

    def _remove_a_sink(self) -> None:
        if self.sinks:
            sink = self.sinks.pop(self._chance.randrange(len(self.sinks)))
            self._counts.pop(sink, None)
            self._controller.sinks.remove(sink)

    def _counting(self) -> CallbackSink:
        count = [self._controller.position, 0]

        def hear(chunk: Chunk) -> None:
            count[1] += len(chunk.audio)

        sink = CallbackSink(hear)
        self._counts[sink] = count
        return sink

    def _awaited(self) -> CallbackSink:
        async def hear(_: Chunk) -> None:
            self._awaits += 1
            if self._awaits % 50 == 0:  # no more often, or what it is still to hear would pile up
                await asyncio.sleep(0)

        return CallbackSink(hear, _ignore)

    def _raising(self) -> CallbackSink:
        return CallbackSink(self._raise_now_and_then, self._raise_now_and_then)

    def _raise_now_and_then(self, _: object) -> None:
        self._calls += 1
        if self._calls % 37 == 0:
            self._account.raised += 1
            raise Hiccup

    # Background

    def _add_a_voice(self) -> None:
        if len(self.voices) >= MOST:
            return
        background, gain_db = self._controller.background, self._chance.choice((-18.0, -24.0))
        match self._chance.randrange(3):
            case 0:
                channels = self._controller.format.channels
                music = MUSIC.reshape(-1, 1).repeat(channels, axis=1)
                self.voices.append(background.add(music, gain_db=gain_db))
            case 1:
                self.voices.append(background.add(MUSIC.tobytes(), gain_db=gain_db, loop=False, fade_seconds=0.0))
            case _:
                self.voices.append(live := background.stream(gain_db=gain_db))
                live.push(MUSIC.tobytes())

    def _stop_a_voice(self) -> None:
        if self.voices:
            voice = self._chance.choice(self.voices)
            if isinstance(voice, LiveSound) and self._chance.random() < 0.5:
                voice.end()
            else:
                voice.stop(self._chance.choice((0.0, 0.1, 0.5)))
        self.voices[:] = [voice for voice in self.voices if not voice.is_finished]

    def _change_the_background(self) -> None:
        background = self._controller.background
        background.duck_db = self._chance.choice((0.0, 9.0, 12.0))
        background.follow_pause = self._chance.random() < 0.5
        for voice in self.voices:
            voice.gain_db = self._chance.choice((-18.0, -24.0))
            if isinstance(voice, LiveSound):
                voice.push(MUSIC.tobytes())

    # Listeners

    def _add_a_listener(self) -> None:
        if len(self._listeners) < MOST:
            name = self._chance.choice([name for name in EVENTS if name != "error"])
            listener = self._chance.choice((_Ear().hear, self._hear_later(), self._raise_now_and_then))
            self._listeners.append((name, self._controller.on(name, listener)))

    def _hear_later(self) -> Callable[[Event], object]:
        async def hear(_: Event) -> None:
            await asyncio.sleep(0)
            self._raise_now_and_then(_)

        return hear

    def _remove_a_listener(self) -> None:
        if self._listeners:
            name, listener = self._listeners.pop(0)
            if not any(other == (name, listener) for other in self._listeners):
                self._controller.remove_listener(name, listener)

    def _listen_once(self) -> None:
        self._controller.once("utterance_finished", _ignore)

    def _follow_events(self) -> None:
        if len(self.streams) < MOST:
            stream = self._controller.events()
            self.streams.append(stream)
            task = asyncio.get_running_loop().create_task(_follow(stream, self._chance.randrange(100, 300)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.streams[:] = [stream for stream in self.streams if not stream.ended]

    # Traces

    def _begin_or_stop_a_trace(self) -> None:
        if self._stays:
            return
        if self.trace is None:
            self.trace = Trace(self._controller, TRACED)
        else:
            self.trace.stop()
            self.trace = None


class _Ear:
    """A listener that is a method of an object which nobody else holds."""

    def __init__(self) -> None:
        self._heard = 0

    def hear(self, _: Event) -> None:
        self._heard += 1


def _ignore(_: object) -> None:
    """Hear, and do nothing."""


async def _follow(stream: EventStream, most: int) -> None:
    """Read so many events, or all there are; and leave."""
    async for event in stream:
        most -= event.name != "error"  # how many of these there are depends on the machine, too
        if not most:
            await stream.aclose()
