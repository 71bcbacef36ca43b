"""Made: who is notified of each new object of a kind, so that what lies above can attach itself to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Made(Generic[T]):
    """Notifies of each new object of one kind. While nobody listens, an empty tuple is looked at."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[T], object], ...] = ()

    def add(self, listener: Callable[[T], object]) -> Callable[[], None]:
        """Call a listener with each object that is made from now on, in the thread that makes it.

        What it raises goes on to whoever makes the object.

        Returns:
            What ends it; calling it again does nothing.
        """

        def notify(made: T) -> None:
            listener(made)

        self._listeners += (notify,)

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not notify)

        return remove

    def notify(self, made: T) -> None:
        """An object was made."""
        for listener in self._listeners:
            listener(made)
