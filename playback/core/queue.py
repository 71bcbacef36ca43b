"""The sample queue: the clips in the order in which they play."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from playback.audio.clip import Clip

if TYPE_CHECKING:
    from playback.utterance import Utterance

_RELEASED_AT_ONCE: Final = 64


class BufferFull(Exception):  # noqa: N818 - the name says what is the matter, as in queue.Full
    """A push would exceed the most that may be buffered; nothing of it was taken."""


class Timeline:
    """The clips in the order in which they play; the first one is the head."""

    __slots__ = ("_gone", "_released", "accepted", "clips")

    def __init__(self) -> None:
        self.clips: Final[deque[Clip]] = deque()
        self.accepted = 0
        """Samples of all clips there ever were."""
        self._gone = 0
        self._released: deque[deque[Any]] = deque()

    @property
    def head(self) -> Clip | None:
        """The clip that plays, or will play next."""
        return self.clips[0] if self.clips else None

    @property
    def buffered(self) -> int:
        """Samples that were accepted and are neither played nor discarded."""
        return self.accepted - self._gone - (self.clips[0].played if self.clips else 0)

    def before_end_of(self, clip: Clip) -> int:
        """Samples that will be played before the end of what a clip holds; all of them if it has no place yet."""
        samples = 0
        for other in self.clips:
            samples += other.accepted - other.played
            if other is clip:
                break
        return samples

    @property
    def any_open(self) -> bool:
        """Whether more audio may come for a clip that has its place."""
        return not all(clip.ended for clip in self.clips)

    @property
    def is_clean(self) -> bool:
        """Whether everything that was dropped is freed."""
        return not self._released

    def append(self, clip: Clip, utterance: Utterance) -> None:
        """Give a clip its place, behind all others."""
        clip.utterance = utterance
        self.clips.append(clip)

    def remove(self, clip: Clip) -> None:
        """Take a clip out, with whatever it still holds."""
        if clip in self.clips:
            self.clips.remove(clip)
            self._gone += clip.accepted
            del clip.utterance
        self._released.extend(held for held in clip.release() if held)

    def clean(self) -> None:
        """Free some of what was dropped.

        Freeing ten minutes of audio in small chunks takes milliseconds, so an interrupt puts it aside, and each read
        and each push frees a little.
        """
        for _ in range(_RELEASED_AT_ONCE):
            if not self._released:
                break
            held = self._released[0]
            held.pop()
            if not held:
                self._released.popleft()
