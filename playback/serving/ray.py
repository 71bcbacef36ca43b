"""Calls on Ray Serve: ``app`` builds the application. Needs the extra ``serve``.

A call is one request of the deployment ``Host`` that goes on as long as the call: a generator whose first item is the
answer. So Ray places calls, counts them (``max_ongoing_requests`` is how many a process may have), adds processes when
there are many, and lets a process that it stops end its calls. ``Signalling`` serves HTTP and WebSockets, and begins
calls; ``Directory`` carries what is asked of a call later to its process.

When a process of ``Signalling`` ends, its calls go on: only their sockets are cut, and can be taken up again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

from ray import serve
from ray.serve.exceptions import BackPressureError, RequestCancelledError
from starlette.applications import Starlette

from playback._checks import check_seconds, check_whole
from playback.serving.app import create_app
from playback.serving.call import CallRequest, EndReason
from playback.serving.calls import MOST_CALLS, Calls
from playback.serving.directory import POLL_SECONDS, Command, Directory
from playback.serving.engines import ENGINES, make_engine
from playback.serving.listening import LOOPBACK, address_of, names_of, terminating
from playback.serving.live_call import LiveAttachment
from playback.serving.loading import load_agent
from playback.serving.requests import check_new_token
from playback.serving.sdp import Candidate, check_offer
from playback.serving.service import FullError, NoSuchCallError, Started, SupersededError
from playback.serving.settings import TOKEN_VARIABLE, from_environment

LOGGER: Final = logging.getLogger("playback")

RETRY_SECONDS: Final = 1.0
"""When a directory that did not answer is asked again."""

DIRECTORY_SECONDS: Final = 5.0
"""How long the directory may take to answer: a deployment that is gone, such as in an application that is being deleted
and waits for its last call, lets those who ask wait for ever."""

MANY: Final = 100_000
"""How many requests a deployment may have that does not count calls."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an application is built with: the ``args`` of ``serve.yaml``, or ``name=value`` of ``serve run``.

    Raises:
        TypeError, ValueError: a value that can't be.
    """

    agent: str
    """``module:function``."""
    engine: str = "aiortc"
    """What carries calls: ``aiortc``, or ``native``, which the processes with calls need installed."""
    udp_port: int = 0
    """The one UDP port of all calls of a process, for ``native``, where a machine has one such process; 0: none."""
    max_calls: int = MOST_CALLS
    """How many calls one process may have."""
    target_calls: float = 0.0
    """How many calls a process should have: with more, another one is started. By default 0.7 of ``max_calls``."""
    min_processes: int = 1
    """How many processes there are at least."""
    max_processes: int = 1
    """How many there are at most."""
    upscale_seconds: float = 5.0
    """How long there have to be too many calls before a process is added."""
    downscale_seconds: float = 300.0
    """How long there have to be few calls before a process is stopped."""
    signalling_processes: int = 1
    """How many processes serve HTTP and WebSockets."""
    cpus: float = 1.0
    """How many cores a process with calls takes."""
    longest_call_seconds: float = 3_600.0
    """How long a process that is to stop waits for its last call."""
    full_seconds: float = 3.0
    """How long a caller waits for a place in a full fleet before it is turned away."""
    reattach_seconds: float = 10.0
    """How long a call goes on when its socket is cut."""
    hosts: str = ""
    """What ``Host`` may name in requests, with commas between; empty allows every name."""
    ice_servers: str = ""
    """URLs of STUN and TURN servers, with commas between. Their secret is ``$PLAYBACK_TURN_SECRET``."""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}, expected one of {', '.join(ENGINES)}")
        check_whole("udp_port", self.udp_port, range(65_536))
        if self.udp_port and self.engine != "native":
            raise ValueError(f"udp_port is {self.udp_port} with the engine {self.engine!r}, expected it with 'native'")
        for name in ("max_calls", "min_processes", "max_processes", "signalling_processes"):
            check_whole(name, getattr(self, name), range(1, MANY))
        if self.max_processes < self.min_processes:
            raise ValueError(f"max_processes is {self.max_processes}, expected {self.min_processes} or more")
        for each in fields(self):
            if each.type == "float":
                check_seconds(each.name, getattr(self, each.name))

    @classmethod
    def parse(cls, args: Mapping[str, Any]) -> Options:
        """Read them; values may be text, as a command line has them.

        Raises:
            ValueError: a name that there is not, or a value that can't be.
        """
        kinds = get_type_hints(cls)
        if unknown := [name for name in args if name not in kinds]:
            raise ValueError(f"there is no option {unknown[0]!r}, expected {', '.join(kinds)}")
        if "agent" not in args:
            raise ValueError("agent is missing, expected agent=module:function")
        values: dict[str, Any] = {}
        for name, value in args.items():
            try:
                values[name] = kinds[name](value)
            except (TypeError, ValueError):
                raise ValueError(f"{name} is {value!r}, expected {kinds[name].__name__}") from None
        options = cls(**values)
        return replace(options, target_calls=options.target_calls or max(1.0, 0.7 * options.max_calls))

    @property
    def urls(self) -> list[str]:
        """The URLs of STUN and TURN servers."""
        return [url for url in self.ice_servers.split(",") if url]


def app(args: Mapping[str, Any]) -> Any:
    """Build the application: ``serve run playback.serving.ray:app agent=module:function``.

    Args:
        args: the fields of :class:`Options`.

    Returns:
        The application, for ``serve.run``.

    Raises:
        ValueError: an option that there is not, or that can't be.
    """
    options = Options.parse(args)
    directory = serve.deployment(
        Directory, name="Directory", num_replicas=1, max_ongoing_requests=MANY, ray_actor_options={"num_cpus": 0}
    ).bind()
    host = serve.deployment(
        Host,
        name="Host",
        max_ongoing_requests=options.max_calls,
        autoscaling_config={
            "min_replicas": options.min_processes,
            "max_replicas": options.max_processes,
            "target_ongoing_requests": options.target_calls,
            "upscale_delay_s": options.upscale_seconds,
            "downscale_delay_s": options.downscale_seconds,
            "metrics_interval_s": min(2.0, options.upscale_seconds or 1.0),
            "look_back_period_s": min(10.0, 2 * options.upscale_seconds or 1.0),
        },
        graceful_shutdown_timeout_s=options.longest_call_seconds,
        graceful_shutdown_wait_loop_s=1.0,
        ray_actor_options={"num_cpus": options.cpus},
    ).bind(options, directory)

    def build() -> Starlette:
        name = serve.get_replica_context().app_name
        calls = RayCalls(
            serve.get_deployment_handle("Host", name), serve.get_deployment_handle("Directory", name), options
        )
        hosts = tuple(host for host in options.hosts.split(",") if host) or None
        return create_app(calls, from_environment(allowed_hosts=hosts, ice_servers=options.urls))

    return serve.deployment(
        serve.ingress(build)(),
        name="Signalling",
        num_replicas=options.signalling_processes,
        max_ongoing_requests=MANY,
        graceful_shutdown_timeout_s=options.longest_call_seconds,
        ray_actor_options={"num_cpus": 0},
    ).bind(host)


def run(args: Mapping[str, Any], host: str, port: int, token: str | None = None) -> int:
    """Run the application until Ctrl+C or SIGTERM; without a cluster, in one on this machine.

    Args:
        args: as for :func:`app`.
        host: where the proxy of Ray Serve listens.
        port: on which port.
        token: what a caller has to know, by default ``$PLAYBACK_SERVE_TOKEN``; made up and printed where others than
            this machine can reach the server.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: as for :func:`app`.
    """
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(16)
    if token is not None:
        check_new_token(token)
    hosts = ",".join(names_of(host)) if host in LOOPBACK else ""
    application = app({"hosts": hosts, **args})
    if token is not None:
        os.environ[TOKEN_VARIABLE] = token  # Ray's processes get it from here
    here = str(Path.cwd())
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    with suppress(KeyboardInterrupt):
        try:
            serve.start(http_options={"host": host, "port": port})
            with terminating():  # from here on, because Ray sets a handler of its own when it starts
                serve.run(application, name="playback", route_prefix="/")
                sys.stdout.write(f"the agent is at {address_of(host, port, token)} (Ctrl+C ends it)\n")
                sys.stdout.flush()
                threading.Event().wait()
        finally:
            serve.shutdown()
    return 0


class Host:
    """A process with calls.

    Args:
        options: of the application.
        directory: a handle of the directory.
    """

    def __init__(self, options: Options, directory: Any) -> None:
        engine = make_engine(options.engine, options.urls, options.udp_port or None)
        # Ray counts the calls: this is no limit of its own.
        self._calls: Final = Calls(
            load_agent(options.agent),
            engine=engine,
            max_calls=2 * options.max_calls,
            reattach_seconds=options.reattach_seconds,
        )
        self._directory: Final = directory
        self._name: Final = secrets.token_hex(8)
        self._sockets: Final[dict[str, tuple[int, LiveAttachment]]] = {}
        self._reports: Final[set[asyncio.Task[None]]] = set()
        self._asking: asyncio.Task[None] | None = None

    async def call(self, offer: str, request: CallRequest) -> AsyncIterator[tuple[str, Any]]:
        """A call, from its offer to its end.

        Yields:
            ``answer`` with a :class:`Started`, then ``over`` with the reason; or only ``refused`` or ``full`` with an
            error.
        """
        try:
            started = await self._calls.start(offer, request)
        except ValueError as error:
            yield "refused", str(error)
            return
        except FullError as error:
            yield "full", str(error)
            return
        over = asyncio.ensure_future(self._calls.wait_over(started.key))
        try:
            with suppress(Exception):  # without it, the call can't be taken up again, but goes on
                await _answered(self._directory.register.remote(self._name, started.key))
            if self._asking is None or self._asking.done():
                self._asking = asyncio.get_running_loop().create_task(self._ask())
            yield "answer", started
            reason = await over
        except BaseException:
            with suppress(NoSuchCallError):
                await asyncio.shield(self._calls.end(started.key))
            raise
        finally:
            self._sockets.pop(started.key, None)
        _report_over(self._directory, started.key, reason, self._reports)
        yield "over", reason

    async def _ask(self) -> None:
        """Ask what is to be done, as long as there are calls."""
        while keys := self._calls.keys():
            try:
                commands = await _answered(self._directory.collect.remote(self._name, keys))
            except Exception as error:  # it is being started anew, or the application is being deleted
                LOGGER.info("the directory of calls does not answer: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for command in commands:
                with suppress(NoSuchCallError, ValueError):
                    await self._do(command)

    async def _do(self, command: Command) -> None:
        match command.kind:
            case "candidate" if command.candidate is not None:
                await self._calls.add_candidate(command.key, command.candidate)
            case "attach":
                self._sockets[command.key] = command.generation, await self._calls.attach(command.key)
            case "detach":
                generation, attachment = self._sockets.get(command.key, (0, None))
                if attachment is not None and generation == command.generation:
                    await attachment.detach()
            case "end":
                # It is not waited for: what an agent does at its end must hold up no other call.
                self._calls.begin_end(command.key)


class RayCalls:
    """The calls of all hosts, for a process that serves HTTP and WebSockets.

    Args:
        hosts: a handle of the hosts.
        directory: a handle of the directory.
        options: of the application.
    """

    def __init__(self, hosts: Any, directory: Any, options: Options) -> None:
        self._hosts: Final = hosts.options(stream=True)
        self._directory: Final = directory
        self._full_seconds: Final = options.full_seconds
        self._watching: Final[dict[str, asyncio.Task[EndReason]]] = {}
        self._reports: Final[set[asyncio.Task[None]]] = set()

    def status(self) -> dict[str, int]:
        """How many calls this process has begun that are not over."""
        return {"calls": len(self._watching), "ready": 1}

    async def start(self, offer: str, request: CallRequest) -> Started:
        """Begin a call; see :class:`~playback.serving.service.Service`."""
        check_offer(offer, needs_channel=False)  # none of a host's time for what can't be answered
        stream = self._hosts.call.remote(offer, request)
        try:
            async with asyncio.timeout(self._full_seconds):
                kind, value = await anext(stream)
        except (TimeoutError, BackPressureError):
            stream.cancel()
            raise FullError("there are as many calls as there may be, expected to be asked again later") from None
        except BaseException:
            stream.cancel()
            raise
        if kind == "refused":
            raise ValueError(value)
        if kind == "full":
            raise FullError(value)
        assert isinstance(value, Started)
        self._watching[value.key] = asyncio.get_running_loop().create_task(self._watch(value.key, stream))
        return value

    async def add_candidate(self, key: str, candidate: Candidate) -> None:
        """Take a candidate; one that is of no section is ignored."""
        await self._command(key, "candidate", candidate)

    async def attach(self, key: str) -> RayAttachment:
        """Give a call a socket."""
        try:
            generation = await _answered(self._directory.attach.remote(key))
        except TimeoutError:
            generation = None
        if generation is None:
            raise NoSuchCallError("there is no such call, or it is over")
        return RayAttachment(self._directory, key, generation, self._watching.get(key))

    async def end(self, key: str) -> None:
        """End a call, and wait until it is over."""
        watching = self._watching.get(key)
        await self._command(key, "end")
        if watching is not None:
            await asyncio.shield(watching)
            return
        while (await _answered(self._directory.follow.remote(key, MANY)))[0] == "wait":
            pass

    async def _command(self, key: str, kind: str, candidate: Candidate | None = None) -> None:
        try:
            known = await _answered(self._directory.command.remote(key, kind, candidate))
        except TimeoutError:
            known = False
        if not known:
            raise NoSuchCallError("there is no such call, or it is over")

    async def _watch(self, key: str, stream: Any) -> EndReason:
        """Wait until a call is over that was begun here."""
        reason: EndReason = "lost"
        try:
            async for kind, value in stream:
                if kind == "over":
                    reason = value
        except RequestCancelledError:
            reason = "bye"
        except Exception as error:
            LOGGER.warning("a call is lost with its process: %s", type(error).__name__)
        finally:
            self._watching.pop(key, None)
        _report_over(self._directory, key, reason, self._reports)
        return reason


class RayAttachment:
    """A socket of a call that is in another process."""

    def __init__(self, directory: Any, key: str, generation: int, watching: asyncio.Task[EndReason] | None) -> None:
        self._directory: Final = directory
        self._key: Final = key
        self._generation: Final = generation
        self._watching: Final = watching

    async def wait(self) -> EndReason:
        """Wait until the call is over.

        Raises:
            SupersededError: another socket has taken the call up.
        """
        following = asyncio.get_running_loop().create_task(self._follow())
        waiting: set[asyncio.Task[EndReason]] = {following}
        if self._watching is not None:
            waiting.add(self._watching)
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            following.cancel()

    async def detach(self) -> None:
        """The socket is gone."""
        with suppress(Exception):  # the application may be being deleted: then calls end by themselves
            await _answered(self._directory.detach.remote(self._key, self._generation))

    async def _follow(self) -> EndReason:
        while True:
            try:
                what, reason = await _answered(self._directory.follow.remote(self._key, self._generation))
            except Exception:  # it is being started anew, or the application is being deleted
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if what == "superseded":
                raise SupersededError("the call has another socket by now")
            if what == "over":
                over: EndReason = reason
                return over


async def _answered(response: Any) -> Any:
    """What the directory answers.

    Raises:
        TimeoutError: nothing.
    """
    async with asyncio.timeout(POLL_SECONDS + DIRECTORY_SECONDS):
        return await response


def _report_over(directory: Any, key: str, reason: EndReason, reports: set[asyncio.Task[None]]) -> None:
    """Report to the directory that a call is over; nobody waits for it."""

    async def report() -> None:
        with suppress(Exception):  # the host and who has begun the call both report it
            await _answered(directory.over.remote(key, reason))

    task = asyncio.get_running_loop().create_task(report())
    reports.add(task)
    task.add_done_callback(reports.discard)
