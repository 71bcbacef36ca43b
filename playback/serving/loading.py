"""An agent by its name: ``module:function``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from playback.serving.call import Agent
from playback.serving.calls import check_agent


class AgentError(ValueError):
    """There is no such agent."""


def load_agent(name: str) -> Agent:
    """Import an agent; the working directory is looked at first.

    Args:
        name: ``module:function``, such as ``playback.demo:agent``.

    Raises:
        AgentError: there is no such module or function, or it is no ``async def agent(call)``. What the module itself
            raises when it is imported goes on.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise AgentError(f"agent is {name!r}, expected module:function")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        agent = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise AgentError(f"agent is {name!r}, but there is no module {error.name!r}") from None
    found: object = agent
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise AgentError(f"agent is {name!r}, but {module_name} has no {attribute!r}") from None
    try:
        check_agent(found)
    except TypeError as error:
        raise AgentError(f"{name}: {error}") from None
    return found  # type: ignore[return-value]  # it was checked
