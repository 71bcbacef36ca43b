"""The policy beside its model, in sequences that come by every cell of the chart."""

from __future__ import annotations

from typing import Any

import pytest

from playback.bargein import BARGE_IN, BargeIn
from statecharts import IMPOSSIBLE
from tests.bargein.paths import CONTEXTS, Stop, asked, walk

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("leaf", CONTEXTS)
def test_a_context_leads_to_its_leaf(leaf: str) -> None:
    for context in CONTEXTS[leaf]:
        assert walk(Stop(context, "usual")).policy.leaf == leaf, context


@pytest.mark.parametrize("leaf", CONTEXTS)
def test_the_policy_does_what_the_model_does(leaf: str) -> None:
    assert not [cell for cell in asked(leaf) if BARGE_IN.cells[cell[0]][cell[1]] == IMPOSSIBLE]


def test_every_cell_that_takes_its_event_is_asked() -> None:
    assert set(CONTEXTS) == set(BARGE_IN.leaves)
    takes = {(edge.source, edge.event) for edge in BARGE_IN.edges()}
    missing = takes.difference(*map(asked, CONTEXTS))
    assert missing == {("quiet", "agent_started")}  # see test_policy: only a listener that reads asks it


def test_a_policy_that_does_something_else_is_noticed() -> None:
    class Deaf(BargeIn):
        def transcript(self, *_: Any, **__: Any) -> None:
            pass

    stop = Stop("a20 t3 s no", "usual")
    walk(stop)
    with pytest.raises(AssertionError) as caught:
        walk(stop, Deaf)
    assert caught.value.__notes__ == [f"at word 4, 'no', of {stop}"]


def test_a_word_that_is_no_action_is_noticed() -> None:
    with pytest.raises(ValueError, match="'x9' is no action"):
        walk(Stop("x9", "usual"))
