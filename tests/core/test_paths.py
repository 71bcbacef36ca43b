"""Paths through the chart with the controller and the model side by side: they judge a chart that was changed."""

from __future__ import annotations

import pytest

from playback import PLAYBACK
from tests.core.paths import CONFIRMING, CONTEXTS, SETTINGS, Stop, asked, itinerary, walk


@pytest.mark.parametrize("leaf", CONTEXTS)
def test_a_context_leads_to_its_leaf(leaf: str) -> None:
    for context in CONTEXTS[leaf] + CONFIRMING[leaf]:
        assert walk(Stop(context, "fades")).controller.leaf == leaf, context


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_controller_does_what_the_model_does(settings: str) -> None:
    for stop in itinerary():
        if stop.settings == settings:
            walk(stop)


def test_every_cell_that_takes_its_event_is_asked() -> None:
    assert set(CONTEXTS) == set(PLAYBACK.leaves)
    assert {(edge.source, edge.event) for edge in PLAYBACK.edges()} <= asked()


def test_a_controller_that_does_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop("read a40 read pause read", "cuts")
    walk(stop)
    monkeypatch.setattr("playback.controller.PlaybackController.pause", lambda _, **__: True)
    with pytest.raises(AssertionError) as caught:
        walk(stop)
    assert caught.value.__notes__ == [f"at word 4, 'pause', of {stop}"]


def test_a_word_that_is_no_action_is_noticed() -> None:
    with pytest.raises(ValueError, match="'push' is no action"):
        walk(Stop("push 16", "cuts"))
