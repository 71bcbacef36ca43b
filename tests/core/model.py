"""What a playout must do, written once more in the simplest way: lists of samples, walked through one by one.

Written from the design and not from the code, with nothing that makes it fast. Of faded audio it knows only where it
may sound: there a sample may have any value.

Of a reader that confirms it keeps a list of each sample that was read and not heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

FIRST_READ: Final = 160
"""What a read is taken to be before there was one: 20 ms at 8 kHz."""

Emitted = tuple[str, int | None, str | None, Any]
"""An event: its name, position, the id of its utterance, what else it carries."""


class Full(Exception):  # noqa: N818 - as BufferFull
    """More would be buffered than may be."""


@dataclass
class Settings:
    """What a controller is made with, in samples."""

    prebuffer: int = 0
    maximum: int = 1_000_000
    history: int = 16_000
    input_timeout: int | None = None
    completes: bool = False
    interrupt_fade: int = 0
    pause_ramp: int = 0
    resume_ramp: int = 0
    underrun_ramp: int = 0
    shortest_fade: int = 32
    """How long it takes to decay where less is left to fade out: 4 ms at 8 kHz."""


@dataclass
class Word:
    """A mark."""

    payload: str
    at: int
    until: int | None
    reached: bool = False


@dataclass(eq=False)
class Group:
    """A turn. A line that belongs to none gets one of its own."""

    id: str
    open: bool = False
    stops: bool = False
    """Whether a line that fails ends it."""
    generation: int = 0
    asked_at: int = 0
    placed: bool = False
    lines: list[Line] = field(default_factory=list)
    finished: list[Line] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    started_at: int | None = None
    over: bool = False
    waited: int = 0
    silence: int = 0
    gaps: list[int] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        return min(self.outcomes, key=("closed", "interrupted", "failed", "completed").index, default="completed")


@dataclass(eq=False)
class Line:
    """An utterance."""

    id: str
    interruptible: bool = True
    generation: int = 0
    first: bool = False
    group: Group | None = None
    used: bool = False
    failed: bool = False
    samples: list[int] = field(default_factory=list)
    largest: int = 0
    """Samples of its largest push."""
    cursor: int = 0
    begun: bool = False
    handed: int = 0
    """How many were read, each counted once."""
    played: int = 0
    """How many were heard."""
    waited: int = 0
    ended: bool = False
    cut_short: bool = False
    outcome: str | None = None
    refused: int = 0
    partial: bytes = b""  # the first byte of a sample
    dropped: bool = False  # an interrupt, a cancel or a close ended it, and what is pushed next is no part of it
    words: list[Word] = field(default_factory=list)
    yields_at: int | None = None
    """Where it ends, if an interrupt lets it end with its word."""
    truncated: bool = False
    cut_off: int = 0
    """Samples that were dropped by that."""
    was_ended: bool = False
    """Whether it had ended before that."""

    @property
    def accepted(self) -> int:
        return len(self.samples)

    @property
    def left(self) -> int:
        return (self.accepted if self.yields_at is None else self.yields_at) - self.cursor

    @property
    def over(self) -> bool:
        """All there is of it was read."""
        return self.ended and not self.left

    @property
    def discarded(self) -> int:
        return self.accepted - self.played if self.outcome else self.cut_off

    @property
    def cut_outcome(self) -> str:
        """How it ends if something of it is missing."""
        return "failed" if self.failed and not self.truncated else "interrupted"

    def word_end(self) -> int | None:
        """Where the word ends that sounds, if that is known and all of it is there."""
        begun = [word for word in self.words if word.at <= self.cursor]
        if not begun or begun[-1].at == self.cursor:
            return None
        later = [word.at for word in self.words if word.at > self.cursor] + [self.accepted] * self.ended
        end = later[0] if begun[-1].until is None and later else begun[-1].until
        if end is not None and self.ended:
            end = min(end, self.accepted)
        return end if end is not None and self.cursor < end <= self.accepted else None

    def heard(self) -> str | None:
        if not self.words:
            return None
        ends = [word.at for word in self.words[1:]] + [None]
        heard = []
        for word, following in zip(self.words, ends, strict=True):
            end = following if word.until is None else word.until
            if (self.outcome == "completed" and not self.failed) or (
                end is not None and self.played and end <= self.played
            ):
                heard.append(word.payload)
        return " ".join(heard)


class Model:
    """A playout."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mode = "rest"  # or speaking, paused, interrupted, closed
        self.locked = False
        self.waiting = False  # speaking: for enough to start, or to go on
        self.holds: list[str] = []  # who pauses
        self.rewind = 0  # the most that those asked for who have gone on, while others pause
        self.blank = False  # paused: there was nothing to pause, and nothing came since
        self.turns: list[Group] = []
        self.open_turn: Group | None = None
        self.unqueued: list[Line] = []
        self.generation = 0  # how many interrupts there were
        self.own: Line | None = None
        self.owned = 0
        self.own_partial = b""  # what is left of a sample while there is no own line that is open
        self.own_generation = 0  # in another one, it is another stream that goes on
        self.position = 0
        self.read_size = FIRST_READ
        self.short: Line | None = None
        self.refusals = self.refused_samples = self.underruns = self.underrun_samples = 0
        self.emitted: list[Emitted] = []
        self.silenced_at: int | None = None

        # What fades. A tail may sound for so many samples; speech may be ramped for so many.
        self.tail = 0
        self.ramp = 0
        self.sounding = False  # the last read was speech to its end
        self.faint = False  # a pause has cut the voice, so that it ramps up afterwards
        self.pausing = False  # the last read was within a pause
        self.unsilenced = False
        self.cut_at: int | None = None  # where in this read an utterance has ended with its word
        self.cut_tail = 0

        # What a reader that confirms has read and its listener has not heard: for each sample the line and which of its
        # samples that is, or None for the line; and whether anything sounds.
        self.confirms = False
        self.unheard: list[tuple[Line | None, int, bool]] = []
        self.heard = 0
        self.extra = 0  # how many more were heard than confirmed, if they are recalled
        self.recalls = 0  # how often that was asked
        self.heard_speech = self.was_speaking = False
        self.interrupted_at = 0

    # Its state

    @property
    def queue(self) -> list[Line]:
        return [line for turn in self.turns for line in turn.lines]

    @property
    def front(self) -> Line | None:
        """What the listener hears, or will."""
        first = next((turn for turn in self.turns if turn.lines or turn.open), None)
        return first.lines[0] if first is not None and first.lines else None

    @property
    def reading(self) -> Group | None:
        """The turn that is read, or will be."""
        return next((turn for turn in self.turns if turn.open or any(not line.over for line in turn.lines)), None)

    @property
    def head(self) -> Line | None:
        """What is read, or will be."""
        lines = [] if self.reading is None else self.reading.lines
        return next((line for line in lines if not line.over), None)

    @property
    def any_open(self) -> bool:
        turn_open = self.open_turn is not None and self.open_turn.placed
        return turn_open or any(not line.ended for line in self.queue)

    @property
    def leaf(self) -> str:
        match self.mode:
            case "closed":
                return "closed"
            case "paused" if self.locked:
                return "paused.sealed"
            case "paused":
                return "paused.empty" if self.blank else "paused.held" if self.any_open else "paused.ended"
            case "interrupted":
                return "interrupted.sealed" if self.locked else "interrupted.fading"
            case "speaking" if self.locked:
                return "speaking.sealed"
            case "speaking" if not self.any_open:
                return "speaking.draining"
            case "speaking":
                return "speaking.buffering" if self.waiting else "speaking.streaming"
            case _:
                return "input_locked" if self.locked else "idle"

    @property
    def state(self) -> str:
        return self.leaf.partition(".")[0]

    @property
    def refuses(self) -> bool:
        return self.locked or self.mode == "closed"

    @property
    def buffered(self) -> int:
        return sum(line.accepted - line.played - line.cut_off for line in self.queue)

    # Producers

    def utterance(self, id: str, interruptible: bool, first: bool = False, turn: Group | None = None) -> Line:
        self._begin()
        return Line(id, interruptible, self.generation, first, turn)

    def turn(self, id: str, stops: bool = False) -> Group | None:
        """Begin a turn; None where another one is open."""
        self._begin()
        turn = Group(id, open=True, stops=stops, generation=self.generation, asked_at=self.position)
        if self.refuses:
            turn.outcomes.append("closed" if self.mode == "closed" else "interrupted")
            turn.open = False
            self._finish_turn(turn)
            return turn
        if self.open_turn is not None:
            return None
        self.open_turn = turn
        return turn

    def end_turn(self, turn: Group) -> bool:
        before = self._begin()
        if not turn.open:
            return False
        self._drop_unqueued(turn)
        self._close_turn(turn)
        self._finish_turn(turn)
        self._rest(before)
        return True

    def fail_turn(self, turn: Group) -> bool:
        before = self._begin()
        if not turn.open:
            return False
        self._fail_turn(turn)
        self._rest(before)
        return True

    def cancel_turn(self, turn: Group) -> bool:
        before = self._begin()
        if turn.over:
            return False
        if any(line in turn.lines for line, _, _ in self.unheard):
            before = self._recall()
            if turn.over:
                self._rest(before)
                return False
        if self.head in turn.lines:
            self._fade_out()
        turn.outcomes.append("interrupted")
        self._close_turn(turn)
        self._drop_unqueued(turn)
        for line in [*turn.lines]:
            self._finish(line, "interrupted")
        self._finish_turn(turn)
        self._rest(before)
        return True

    def enqueue(self, line: Line) -> bool:
        before = self._begin()
        self._use(line)
        if line in self.unqueued and not line.ended and self.refuses:
            self._refuse(line, 0, silent=False)
        if line not in self.unqueued or line.ended or self.refuses:
            return False
        self._enqueue(line)
        self._rest(before)
        return True

    def fail(self, line: Line) -> bool:
        before = self._begin()
        self._use(line)
        if line.ended:
            return False
        line.failed = line.cut_short = True
        self._end(line)
        self._rest(before)
        return True

    def push(self, line: Line, data: bytes, *, whole: bool) -> int:
        """Push bytes; whole are those of an array, that no partial byte goes on with."""
        before = self._begin()
        if not whole and not line.ended:
            data = line.partial + data
        self._use(line)
        samples, odd = divmod(len(data), 2)
        partial = data[-1:] if odd else b""
        if line.ended or self.refuses:
            line.partial = b"" if line.ended else partial
            self._refuse(line, samples)
            return 0
        if samples and self.buffered + samples > self.settings.maximum:
            raise Full
        line.partial = partial
        if not samples:
            if line in self.unqueued:
                self._enqueue(line)
                self._rest(before)
            return 0
        line.largest = max(line.largest, samples)
        line.samples += [int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, 2 * samples, 2)]
        self._enqueue(line)
        self._rest(before)
        return samples

    def _enqueue(self, line: Line) -> None:
        """Put it in its place, and be speaking: also without any audio of it yet."""
        was_draining = self.mode == "speaking" and not self.any_open
        self._place(line)
        if self.mode in ("rest", "interrupted"):
            self.mode, self.waiting = "speaking", True
        elif was_draining:
            self.waiting = False
        self.blank = False

    def push_own(self, data: bytes, *, whole: bool) -> int:
        if self.own is None or self.own.ended:
            if self.own is not None:
                self.own_partial, self.own = b"" if self.own.dropped else self.own.partial, None
            same = self.own_generation == self.generation
            if self.refuses:
                self._begin()
                if not whole and same:
                    data = self.own_partial + data
                if same:
                    self.own_partial = data[len(data) // 2 * 2 :]
                self._refuse(None, len(data) // 2)
                return 0
            self.owned += 1
            self.own = self.utterance(f"utterance-{self.owned}", True)
            self.own.partial = self.own_partial if same else b""
            self.own_partial, self.own_generation = b"", self.generation
        return self.push(self.own, data, whole=whole)

    def end_own(self) -> bool:
        own, self.own = self.own, None
        self._begin()
        ended = own is not None and self.end(own)
        self.own_partial, self.own_generation = b"", self.generation
        return ended

    def end(self, line: Line) -> bool:
        before = self._begin()
        self._use(line)
        if line.ended:
            return False
        self._end(line)
        self._rest(before)
        return True

    def _end(self, line: Line) -> None:
        if line.group is not None and line.group.open and not self.refuses and line in self.unqueued:
            self._enqueue(line)
        line.ended = True
        self._place(line)

    def cancel(self, line: Line) -> bool:
        before = self._begin()
        self._use(line)
        if line.outcome:
            return False
        if any(line is other for other, _, _ in self.unheard):
            before = self._recall()
            if line.outcome:
                self._rest(before)
                return False
        if line is self.head:
            self._fade_out()
        self._finish(line, "interrupted")
        self._rest(before)
        return True

    def mark(self, line: Line, payload: str, at: int | None, until: int | None) -> bool:
        self._begin()
        self._use(line)
        if line.outcome:
            return False
        word = Word(payload, line.accepted if at is None else at, until)
        place = sum(other.at <= word.at for other in line.words)
        line.words.insert(place, word)
        if line.played and word.at <= line.played:
            self._emit_mark(line, word, self.position)
        return True

    # Commands

    def pause(self, by: str = "application") -> bool:
        before = self._begin()
        if self.mode == "closed" or by in self.holds:
            return False
        if not self.holds:
            before = self._recall()
        self.holds.append(by)
        if self.holds == [by]:
            self._hold(by)
        self._rest(before)
        return True

    def _hold(self, by: str) -> None:
        self.blank = self.mode in ("rest", "interrupted") and not self.locked
        self.mode = "paused"
        self._emit("paused", extra=by)

    def resume(self, rewind: int, rewound: int, by: str = "application") -> bool:
        """Resume; how far was really rewound is free between two bounds where the history is used up."""
        before = self._begin()
        if by not in self.holds:
            return False
        self.holds.remove(by)
        rewind = self.rewind = max(self.rewind, rewind)
        if self.holds:
            assert not rewound
            return True
        self.rewind = 0
        sounding = self._ending(self.settings.pause_ramp) if self.sounding else 0
        if head := self.head:
            history = self.settings.history
            farthest = min(rewind, head.cursor, history)
            nearest = min(farthest, max(0, history - (head.played - head.cursor)))
            assert nearest <= rewound <= farthest, f"rewound by {rewound}, expected {nearest} to {farthest}"
            head.cursor -= rewound
            if rewound:
                self.tail = max(self.tail, sounding)
                self.faint = True
        else:
            assert not rewound
        if self.faint:
            self.ramp, self.faint = self.settings.resume_ramp, False
        self._emit("resumed", extra=(rewound, by))
        self.mode, self.waiting = ("rest", False) if self.blank else ("speaking", True)
        self.blank = False
        self._rest(before)
        return True

    def interrupt(self, lock: bool, force: bool, by: str = "application", at: str = "now") -> bool:
        before = self._begin()
        front = self.front
        protected = front is not None and not front.interruptible and not force
        if not protected or any(line not in (None, front) for line, _, _ in self.unheard):
            before = self._recall()
        leaf = self.leaf
        self.generation += 1
        spared = [line for line in [self.front] if line and not line.interruptible and not force]
        if at == "word" and not spared and self._end_with_word():
            if lock:
                self._lock()
            self._rest(before)
            return True
        buffered = self.buffered
        doomed = [line for line in self.queue + self.unqueued if line not in spared]
        if not spared:
            self._fade_out()
        self._drop(doomed, "interrupted", spared)
        if not spared and self.mode in ("speaking", "paused"):
            self._emit("interrupted", extra=buffered)
            self.unsilenced = True
            self.mode = "rest" if self.blank else "interrupted"
            self.blank = False
        if not spared and lock:
            self._lock()
        moved = not spared and self.leaf != leaf
        if not spared:
            self.rewind = 0
            self.holds = [other for other in self.holds if other != by]
            if self.holds:
                self._hold(self.holds[0])
        self._rest(before)
        return bool(doomed) or moved

    def _end_with_word(self) -> bool:
        head = self.head
        sounds = self.mode == "speaking" and not self.waiting and (self.sounding or self.was_speaking)
        end = head.word_end() if head and head.begun and sounds and head.yields_at is None else None
        if head is None or end is None:
            return False
        buffered = self.buffered
        head.truncated = not head.ended or end < head.accepted
        head.cut_short |= head.truncated
        head.cut_off = head.accepted - max(end, head.played)
        head.yields_at, head.was_ended, head.dropped, head.ended = end, head.ended, not head.ended, True
        self._drop([line for line in self.queue + self.unqueued if line is not head], "interrupted", [head])
        self._emit("interrupted", extra=buffered - self.buffered)
        return True

    def lock(self) -> bool:
        before = self._begin()
        locked = self._lock()
        self._rest(before)
        return locked

    def unlock(self) -> bool:
        before = self._begin()
        if not self.locked or self.mode == "closed":
            return False
        self.locked = False
        self._emit("input_unlocked")
        self._rest(before)
        return True

    def close(self) -> bool:
        before = self._begin()
        if self.mode == "closed":
            return False
        before = self._recall()
        self._drop(self.queue + self.unqueued, "closed", [])
        self.mode = "closed"
        self.holds.clear()
        self.tail, self.unsilenced = 0, False
        self._emit("closed")
        self._rest(before)
        return True

    # The reader

    def attach(self) -> None:
        self._begin()
        self.confirms, self.heard = True, 0

    def detach(self) -> None:
        before = self._begin()
        self._take_back()
        self.confirms = False
        for line in self.queue:
            line.handed = line.played
        self._rest(before)

    def confirm(self, samples: int) -> None:
        before = self._begin()
        self._hear(samples - self.heard)
        self._rest(before)

    def _hear(self, samples: int) -> None:
        for _ in range(samples):
            line, at, _ = self.unheard.pop(0)
            self.heard += 1
            self.heard_speech = line is not None
            if line is not None:
                line.played = max(line.played, at + 1)
                self._reach(line, line.played)
            self._finish_heard()

    def _recall(self) -> str:
        """What was not heard comes back, if any of it is speech; returns the leaf after that."""
        if any(line for line, _, _ in self.unheard):
            self.recalls += 1
            before = self.leaf
            self._hear(min(self.extra, len(self.unheard)))
            self._rest(before)
            self._take_back()
        return self.leaf

    def _take_back(self) -> None:
        if not self.unheard:
            return
        for line, at, _ in reversed(self.unheard):
            if line is not None:
                line.cursor = at
        self.unheard = []
        self.was_speaking, self.heard_speech, self.sounding = self.heard_speech, False, False
        self.tail, self.ramp, self.faint = 0, self.settings.resume_ramp, False
        if self.head is not None and self.head.yields_at is not None:
            self.unsilenced = False

    def read(self, samples: int) -> list[int | None]:
        """The next samples; None where a fade is heard."""
        before = self._begin()
        if not samples:
            return []
        self.read_size = samples
        self._settle()
        start = self.position
        paused = self.mode == "paused"
        if paused and not self.pausing:
            self.tail = min(self.tail, self.settings.pause_ramp)
            if self.sounding and self._within_turn:
                self.tail = max(self.tail, self._ending(self.settings.pause_ramp))
                self.faint = True
        self.pausing = paused
        self.was_speaking = False

        out: list[int | None] = []
        self.cut_at = None
        streaming = self.mode == "speaking" and not self.waiting
        if streaming:
            self._speak(out, samples)
        spoken = len(out)
        runs_out = (self.sounding or spoken > 0) and spoken < samples and not paused and self._within_turn
        self.sounding = spoken == samples
        out += [0] * (samples - spoken)
        fading = min(self.tail, spoken if self.cut_at is None else self.cut_at)
        out[:fading] = [None] * fading
        self.tail -= fading
        if self.cut_at is not None:
            self.tail, self.unsilenced = max(self.tail, self.cut_tail), True
            rest = min(self.tail, spoken - self.cut_at)
            out[self.cut_at : self.cut_at + rest] = [None] * rest
            self.tail -= rest
            fading = self.cut_at + rest
        if runs_out and self.settings.underrun_ramp:
            self.tail = max(self.tail, self.settings.underrun_ramp)
            self.ramp = self.settings.underrun_ramp
        if rest := min(self.tail, samples - spoken):
            fading = spoken + rest
            out[spoken:fading] = [None] * rest
            self.tail -= rest
        if self.unsilenced and not self.tail:
            self.unsilenced = False
            self.silenced_at = start + fading
        self.position = start + samples
        if self.confirms:
            self.unheard += [(None, 0, spoken + place < fading) for place in range(samples - spoken)]

        self._count(streaming, spoken, samples - spoken)
        self._rest(before)
        return out

    def _count(self, streaming: bool, spoken: int, missing: int) -> None:
        """What is missing is counted: for what ran out of it, for its turn, and for the timeout."""
        timeout = self.settings.input_timeout
        if not self.turns:
            if self.open_turn is not None and self.leaf == "idle":
                self._count_turn(self.open_turn, missing)
            return
        turn = self.reading
        if turn is None or self.mode != "speaking":
            return
        if turn.started_at is not None:
            turn.silence += missing
        if spoken:
            turn.waited = 0
        if not missing:
            return
        if (head := self.head) is None:
            if self._count_turn(turn, missing) and streaming:
                self.waiting = True
        elif not head.ended:
            head.waited += missing
            if head.begun:
                self.underrun_samples += missing
            if timeout is not None and head.waited >= timeout:
                head.ended = True
                head.failed = True
                head.cut_short |= not self.settings.completes
            elif streaming:
                self.waiting = True
                self.underruns += 1
                self.short = head
                self._emit("underrun", head, position=None)

    def _count_turn(self, turn: Group, missing: int) -> bool:
        """Whether it goes on."""
        timeout = self.settings.input_timeout
        turn.waited += missing
        if timeout is not None and turn.waited >= timeout and turn.open:
            self._fail_turn(turn)
            return False
        return True

    def _speak(self, out: list[int | None], samples: int) -> None:
        while len(out) < samples and (head := self.head):
            wanted = samples - len(out)
            if head.left < wanted and not head.ended:
                break
            turn = self.reading
            assert turn is not None
            if head.left and not head.begun:
                head.begun = True
                if turn.started_at is None:
                    if not out and not self.sounding:
                        self.ramp = 0
                    turn.started_at = self.position
                    self._emit("turn_started", extra=turn.id)
                self._emit("first_audio_byte", head)
            if head.left and turn.silence:
                turn.gaps.append(turn.silence)
                turn.silence = 0
            for _ in range(min(wanted, head.left)):
                if not head.cursor and not self.confirms:
                    self._reach(head, 0)
                out.append(None if self.ramp else head.samples[head.cursor])
                self.ramp = max(0, self.ramp - 1)
                if self.confirms:
                    self.unheard.append((head, head.cursor, True))
                head.cursor += 1
                if head.cursor > head.handed:
                    head.handed = head.cursor
                    head.waited = max(0, head.waited - 1)
                self.position += 1
                if not self.confirms:
                    head.played = max(head.played, head.cursor)
                    self._reach(head, head.cursor)
            if head.yields_at is not None and not head.left:
                self.cut_at, self.cut_tail, self.ramp = len(out), self._ending(self.settings.interrupt_fade, head), 0
            if self.confirms:
                self._stop_turns()
            else:
                self._finish_heard()

    # Parts of the above

    def _begin(self) -> str:
        self.emitted = []
        self.silenced_at = None
        return self.leaf

    def _emit(self, name: str, line: Line | None = None, extra: Any = None, position: int | None = -1) -> None:
        self.emitted.append((name, self.position if position == -1 else position, line.id if line else None, extra))

    def _emit_mark(self, line: Line, word: Word, position: int) -> None:
        word.reached = True
        self._emit("mark_reached", line, (word.payload, word.at), position)

    def _reach(self, line: Line, cursor: int) -> None:
        for word in line.words:
            if not word.reached and word.at <= cursor:
                self._emit_mark(line, word, self.position)

    def _emit_change(self, before: str) -> None:
        short = self.short
        if short is not None and (self.leaf != "speaking.buffering" or self.head is not short):
            self.short = None
            self._emit("underrun_ended", short)
        if self.leaf != before:
            self._emit("state_changed", extra=(before.partition(".")[0], self.state, before, self.leaf))

    def _use(self, line: Line) -> None:
        """Know of a handle from its first use on; before that it is nobody's."""
        if line.used:
            return
        line.used = True
        self.unqueued.append(line)
        gone = line.group is not None and not line.group.open
        if line.group is None:
            line.group = Group(line.id, asked_at=self.position)
        if self.mode == "closed":
            self._finish(line, "closed")
        elif line.generation != self.generation or gone:
            self._finish(line, "interrupted")

    def _place(self, line: Line) -> None:
        if line not in self.unqueued:
            return
        assert line.group is not None
        self.unqueued.remove(line)
        turn = line.group
        turn.waited = 0
        reading, waits = self.reading, self.front is not None and self.front.over
        if not turn.placed:
            turn.placed = True
            place = len(self.turns)
            if line.first and reading is not None:
                place = self.turns.index(reading) + (0 if waits and reading.started_at is None else 1)
            self.turns.insert(place, turn)
        place = len(turn.lines)
        read = 0 if turn is not reading else next((at for at, other in enumerate(turn.lines) if not other.over), place)
        if line.first and read < len(turn.lines):
            place = read + (0 if read and not turn.lines[read].begun else 1)
        turn.lines.insert(place, line)

    def _refuse(self, line: Line | None, samples: int, *, silent: bool = True) -> None:
        if not samples and silent:
            return
        self.refusals += 1
        self.refused_samples += samples
        if line:
            line.refused += samples
            line.cut_short = True
        self._emit("audio_refused", line, samples)

    def _lock(self) -> bool:
        if self.refuses:
            return False
        for line in self.queue:
            line.cut_short |= not line.ended
            line.ended = True
        if self.open_turn is not None:
            turn = self.open_turn
            turn.outcomes.append("interrupted")
            self._drop_unqueued(turn)
            self._close_turn(turn)
            self._finish_turn(turn)
        self.locked, self.blank = True, False
        self._emit("input_locked")
        return True

    def _finish(self, line: Line, outcome: str) -> None:
        assert line.group is not None
        (line.group.lines if line in line.group.lines else self.unqueued).remove(line)
        line.dropped |= not line.ended
        line.ended = True
        line.outcome = outcome
        line.group.finished.append(line)
        line.group.outcomes.append(outcome)
        report = (outcome, line.accepted, line.played, line.discarded, line.refused, line.heard())
        self._emit("utterance_finished", line, report)
        turn = line.group
        if outcome == "failed" and turn.stops and not turn.over and not self.confirms:
            self._close_turn(turn)
            for other in turn.lines + self._unqueued_of(turn):
                if not other.outcome:
                    self._finish(other, "failed")
        self._finish_turn(turn)

    def _drop(self, doomed: list[Line], outcome: str, spared: list[Line]) -> None:
        turns = [*self.turns]
        if self.open_turn is not None and self.open_turn not in turns:
            turns.append(self.open_turn)
        for turn in turns:
            if turn.open or not any(line in turn.lines for line in spared):
                turn.outcomes.append(outcome)
            self._close_turn(turn)
        for line in doomed:
            self._finish(line, outcome)
        for turn in turns:
            self._finish_turn(turn)

    def _close_turn(self, turn: Group) -> None:
        turn.open = False
        if self.open_turn is turn:
            self.open_turn = None

    def _fail_turn(self, turn: Group) -> None:
        turn.outcomes.append("failed")
        self._close_turn(turn)
        for line in turn.lines + self._unqueued_of(turn):
            if not line.ended:
                line.ended = line.failed = line.cut_short = True
                self._place(line)
        self._finish_turn(turn)

    def _unqueued_of(self, turn: Group) -> list[Line]:
        return [line for line in self.unqueued if line.group is turn]

    def _drop_unqueued(self, turn: Group) -> None:
        for line in self._unqueued_of(turn):
            self._finish(line, "interrupted")

    def _finish_turn(self, turn: Group) -> None:
        if turn.over or turn.open or turn.lines:
            return
        turn.over = True
        if turn in self.turns:
            self.turns.remove(turn)
        played, discarded = sum(line.played for line in turn.finished), sum(line.discarded for line in turn.finished)
        waited = None if turn.started_at is None else turn.started_at - turn.asked_at
        report = (turn.outcome, len(turn.finished), played, discarded, tuple(turn.gaps), waited)
        self._emit("turn_finished", extra=(turn.id, report))

    def _finish_heard(self) -> None:
        """Finish what is over and was heard."""
        while (front := self.front) and front.over and not any(line is front for line, _, _ in self.unheard):
            if not front.cut_short:
                self._reach(front, 1_000_000_000)
                self._emit("last_audio_byte", front)
            self._finish(front, front.cut_outcome if front.cut_short else "completed")

    def _stop_turns(self) -> None:
        """What was read to its end and has failed may end its turn, before that is heard."""
        for turn in [*self.turns]:
            for place, line in enumerate([*turn.lines], start=1):
                if not line.over:
                    return
                if turn.stops and line.cut_short and line.cut_outcome == "failed":
                    self._close_turn(turn)
                    for other in turn.lines[place:] + self._unqueued_of(turn):
                        if not other.outcome:
                            self._finish(other, "failed")
                    break
            if turn.open:
                return

    def _settle(self) -> None:
        if self.confirms:
            self._stop_turns()
        self._finish_heard()
        if not self.any_open:
            self.waiting = False
        if self.waiting and (head := self.head):
            gapless = self.sounding and head.begun  # nobody has read within the pause
            prebuffer = 0
            if self.settings.prebuffer and not gapless:
                prebuffer = min(self.settings.prebuffer + head.largest, self.settings.maximum)
            self.waiting = not head.ended and head.left < max(prebuffer, self.read_size)
        silent = not self.tail and not any(sounds for _, _, sounds in self.unheard)
        if self.mode == "speaking" and not self.turns and silent:
            self.mode = "rest"
        if self.mode == "interrupted" and silent and self.position > self.interrupted_at:
            self.mode = "rest"

    def _rest(self, before: str) -> None:
        self._settle()
        self._emit_change(before)

    @property
    def _within_turn(self) -> bool:
        return self.reading is not None and self.reading.started_at is not None

    def _ending(self, fade: int, head: Line | None = None) -> int:
        """How long a sound that stops here goes on to fade out; of a line that ends with its word, or of the head."""
        shortest = min(fade, self.settings.shortest_fade)
        if (head := head or self.head) and head.begun:
            if head.yields_at is None:
                left, ended = head.left, head.ended
            else:
                beyond = min(head.accepted - head.yields_at, self.settings.interrupt_fade)
                left, ended = head.left + beyond, head.was_ended
            return min(fade, left) if ended else max(min(fade, left), shortest)
        return shortest

    def _fade_out(self) -> None:
        self.interrupted_at = self.position
        fade = self.settings.interrupt_fade
        if self.mode == "paused":
            fade = min(fade, self.settings.pause_ramp)
        self.tail = min(self.tail, fade)
        if self.sounding and self._within_turn:
            self.tail = max(self.tail, self._ending(fade))
        if self._within_turn:
            self.sounding = self.faint = False
            self.ramp = 0
        self.unsilenced |= self.head is not None and self.head.yields_at is not None
