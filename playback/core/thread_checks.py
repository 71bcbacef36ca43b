"""Thread checks: in debug mode, a call from a thread that is not the event loop's is an error.

The core runs in one thread, and nothing locks it: a push from another thread, in place of one through
``controller.threadsafe``, mostly works, and now and then breaks something. So in debug mode each producer's call and
each command looks at the thread that it is made in. Without it these classes are not used, and nothing is spent.

The thread is that in which an event loop runs: where the controller is read, or else where it was made or first called.
As long as there was no loop, as in a script, nothing is an error. Reads never raise, they only say where the loop is.
"""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from threading import current_thread
from typing import Any, Final

from playback.audio.clip import Mark
from playback.audio.formats import AudioFormat, Block
from playback.audio.ramps import Fades
from playback.core.confirming import Confirming
from playback.core.input import Input
from playback.core.limits import Limits
from playback.core.output import Output
from playback.core.playout import Playout
from playback.core.transitions import Transitions
from playback.core.turns import Turns
from playback.utterance import Utterance


def is_debugging() -> bool:
    """Whether calls are to be checked: in Python's development mode, and in a loop in asyncio's debug mode."""
    if sys.flags.dev_mode:
        return True
    try:
        return get_running_loop().get_debug()
    except RuntimeError:
        return False


class Owner:
    """The thread that a playout belongs to, once that is known."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = current_thread() if _loop_runs() else None

    def claim(self) -> None:
        """Have the playout belong to this thread, if a loop runs here."""
        if self.thread is not current_thread() and _loop_runs():
            self.thread = current_thread()

    def check(self) -> None:
        """See that a call is made in the right thread.

        Raises:
            RuntimeError: it is not.
        """
        here = current_thread()
        if self.thread is None:
            self.claim()
        elif self.thread is not here:
            raise RuntimeError(
                f"called in thread {here.name!r}, expected {self.thread.name!r}, where the event loop runs:"
                " controller.threadsafe(loop) has the producer's calls for other threads"
            )


def _loop_runs() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


class CheckedInput(Input):
    """What producers do, each call checked."""

    __slots__ = ("owner",)

    def __init__(self, transitions: Transitions, turns: Turns, confirming: Confirming) -> None:
        super().__init__(transitions, turns, confirming)
        self.owner: Final = Owner()

    def admit(self, utterance: Utterance) -> None:
        """See :meth:`Input.admit`."""
        self.owner.check()
        super().admit(utterance)

    def push(self, utterance: Utterance, audio: Any) -> int:
        """See :meth:`Input.push`."""
        self.owner.check()
        return super().push(utterance, audio)

    def push_block(self, utterance: Utterance, block: Block, bounded: bool = True) -> int:
        """See :meth:`Input.push_block`."""
        self.owner.check()
        return super().push_block(utterance, block, bounded)

    def check(self, utterance: Utterance, audio: Any) -> None:
        """See :meth:`Input.check`."""
        self.owner.check()
        super().check(utterance, audio)

    def mark(self, utterance: Utterance, mark: Mark) -> bool:
        """See :meth:`Input.mark`."""
        self.owner.check()
        return super().mark(utterance, mark)

    def unmark(self, utterance: Utterance, mark: Mark) -> None:
        """See :meth:`Input.unmark`."""
        self.owner.check()
        super().unmark(utterance, mark)


class CheckedOutput(Output):
    """What the reader does; it finds out where the loop runs."""

    __slots__ = ("owner",)

    def __init__(self, transitions: Transitions, owner: Owner) -> None:
        super().__init__(transitions)
        self.owner: Final = owner

    def read(self, out: memoryview) -> None:
        """See :meth:`Output.read`."""
        self.owner.claim()
        super().read(out)


class CheckedPlayout(Playout):
    """A playout, each call checked."""

    __slots__ = ("_owner",)

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        super().__init__(format, limits, fades)
        checked = CheckedInput(self.transitions, self.turns, self.confirming)
        self._owner: Final = checked.owner
        self.input = checked
        self.output = CheckedOutput(self.transitions, checked.owner)

    def command(self, event: str) -> bool:
        """See :meth:`Playout.command`."""
        self._owner.check()
        return super().command(event)

    def confirm(self, samples: int) -> None:
        """See :meth:`Playout.confirm`."""
        self._owner.check()
        super().confirm(samples)

    def pause(self, by: str) -> bool:
        """See :meth:`Playout.pause`."""
        self._owner.check()
        return super().pause(by)

    def resume(self, by: str, rewind: int) -> bool:
        """See :meth:`Playout.resume`."""
        self._owner.check()
        return super().resume(by, rewind)

    def interrupt(self, *, by: str, lock: bool, force: bool, to_word_end: bool) -> bool:
        """See :meth:`Playout.interrupt`."""
        self._owner.check()
        return super().interrupt(by=by, lock=lock, force=force, to_word_end=to_word_end)

    def lock(self) -> bool:
        """See :meth:`Playout.lock`."""
        self._owner.check()
        return super().lock()

    def close(self) -> bool:
        """See :meth:`Playout.close`."""
        self._owner.check()
        return super().close()
