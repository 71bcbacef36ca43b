"""Every configuration that a system can be brought into, found by trying every action in every one of them.

A chart says what may happen; a system that follows it also has an environment (a buffer, a clock, other people). This
explores both together, to a fixed point, so that what a test finds true of every configuration is true of every run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

System = TypeVar("System")
Action = TypeVar("Action", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)


class ExplorationError(Exception):
    """There are more configurations than expected, or the same actions did not lead to the same configuration."""


@dataclass(frozen=True)
class Exploration(Generic[Key, Action]):
    """What was found: a graph of configurations, complete unless exploring it raised."""

    paths: Mapping[Key, tuple[Action, ...]]
    """Each configuration, with the shortest sequence of actions that leads to it; the initial one comes first."""
    edges: Mapping[Key, Mapping[Action, Key]]
    """For each configuration, where each action that may be taken in it leads."""

    def run(self, start: Key, action: Action) -> Iterator[Key]:
        """Take one action again and again.

        Args:
            start: the configuration to begin with.
            action: what to take; the run ends where it may not be taken.

        Yields:
            The configurations passed through, the first one included, each once: the last one leads back into the run,
            or nowhere.
        """
        seen: set[Key] = set()
        key: Key | None = start
        while key is not None and key not in seen:
            seen.add(key)
            yield key
            key = self.edges[key].get(action)


def explore(
    make: Callable[[], System],
    actions: Callable[[System], Iterable[Action]],
    apply: Callable[[System, Action], object],
    key: Callable[[System], Key],
    *,
    visit: Callable[[System, Action], object] | None = None,
    limit: int = 100_000,
) -> Exploration[Key, Action]:
    """Find every configuration of a system, breadth first, to a fixed point.

    A system need not be copied: each configuration is reached again from a new system, by the actions that led to it.

    Example::

        explored = explore(lambda: [0], lambda system: ("up", "reset"), step, lambda system: system[0])
        assert set(explored.paths) == {0, 1, 2, 3}

    Args:
        make: makes a new system in its initial configuration, the same one each time.
        actions: what may be done in the configuration in which a system is.
        apply: does it.
        key: all of a configuration that matters for what comes; two systems with equal keys must behave alike.
        visit: does it where it is done for the first time; the place to assert what must hold in every step. It is
            ``apply`` by default.
        limit: the most configurations expected.

    Raises:
        ExplorationError: there are more than ``limit``, or a replay did not lead where the same actions led before.
    """

    def reach(path: tuple[Action, ...]) -> System:
        system = make()
        for action in path:
            apply(system, action)
        return system

    take = visit or apply
    initial = key(make())
    paths: dict[Key, tuple[Action, ...]] = {initial: ()}
    edges: dict[Key, Mapping[Action, Key]] = {}
    waiting = deque([initial])
    while waiting:
        here = waiting.popleft()
        path = paths[here]
        system = reach(path)
        if key(system) != here:
            raise ExplorationError(f"{path} led to {key(system)}, and to {here} before")
        found: dict[Action, Key] = {}
        there = here
        for action in tuple(actions(system)):
            if there != here:
                system = reach(path)  # the action before has led this one away
            take(system, action)
            there = found[action] = key(system)
            if there not in paths:
                if len(paths) >= limit:
                    raise ExplorationError(f"there are more than {limit} configurations; the last is {there}")
                paths[there] = (*path, action)
                waiting.append(there)
        edges[here] = MappingProxyType(found)
    return Exploration(MappingProxyType(paths), MappingProxyType(edges))
