"""Ray on this machine, for all tests."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from playback.serving.ray import app

ROOT = Path(__file__).parent.parent.parent.parent
FEW = {"agent": "tests.frameworks.serving.agents:where", "cpus": 0.1, "downscale_seconds": 600.0}

Fleet = Callable[..., str]


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """Ray Serve; gives the port of its proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(
        num_cpus=4, include_dashboard=False, logging_level="warning", log_to_driver=bool(os.environ.get("RAY_LOGS"))
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield port
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def fleet(port: int) -> Iterator[Fleet]:
    """Runs an application, in place of the one before; gives its address."""
    names: list[str] = []

    def run(name: str, **args: Any) -> str:
        for other in names:
            serve.delete(other)
        names[:] = [name]
        serve.run(app({**FEW, **args}), name=name, route_prefix="/")
        return f"http://127.0.0.1:{port}"

    yield run
    for name in names:
        serve.delete(name)


async def deleted(name: str) -> None:
    """Delete an application; it takes as long as its calls."""
    await asyncio.to_thread(serve.delete, name)
