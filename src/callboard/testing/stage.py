"""`Stage`: an app on a mailbox in memory for the length of a test, played without worker, server or sleep."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar

from ..actors.actor import EventActor
from ..actors.app import Callboard
from ..actors.mailbox.memory import VirtualClock
from ..actors.performing import aperform, perform
from ..actors.performing_batch import aperform_batch, perform_batch
from ..messages.errors import CallboardError
from ..messages.timing import duration_ms
from ..middleware.batch_run import Report
from ..middleware.batched import Batched
from .play import Play, Turn
from .records import PastAttempt, moment
from .seen import Seen
from .watched import WatchedMailbox

T = TypeVar("T")

START = datetime(2030, 1, 1, tzinfo=UTC)
"""When a stage's clock begins unless it is told otherwise."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stage(Seen):
    """An app as a test plays it: events wait until `run` or `advance`, and time passes when told to.

    Parameters:
        app: the app, wherever it was declared; it is as it was when the context ends.
        start: what the clock shows first, an aware datetime.
        expect: exceptions that handlers may raise; any other is raised by the run it happens in.
        most: attempts that one run may make before it raises `EndlessRun`.

    Use it as a context manager. Raises `ConfigurationError` while a worker of the app runs.
    """

    def __init__(
        self,
        app: Callboard,
        *,
        start: datetime = START,
        expect: type[BaseException] | Sequence[type[BaseException]] = (),
        most: int = 10_000,
    ) -> None:
        self._clock = VirtualClock(_epoch_ms(start))
        super().__init__(app, WatchedMailbox(self._clock))
        self._play = Play(
            app,
            self._mailbox,
            self._clock,
            attempts=self._attempts,
            moving=self.look_at_ends,
            most=most,
            expected=(expect,) if isinstance(expect, type) else expect,
        )
        self._runner = asyncio.Runner()
        self._leaving: ExitStack | None = None
        self._was_set = False

    def __enter__(self) -> Self:
        if self._was_set:
            raise CallboardError("a stage is set once: make another with Stage(app)")
        self._was_set = True
        with ExitStack() as entered:
            entered.enter_context(self.app.broker.instead(self._mailbox))
            entered.enter_context(self.app.routes.set_aside())
            entered.callback(self._runner.close)
            entered.enter_context(self.app.resources.set_aside())
            entered.enter_context(self._publishing())
            self._leaving = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._leaving is not None:
            self._leaving.close()
            self._leaving = None

    # Before and between.

    @property
    def now(self) -> datetime:
        """What the stage's clock shows, in UTC."""
        return moment(self._clock.now())

    def provide(self, kind: type[T], made: T) -> None:
        """Give handlers this object where they take a resource of a type; the stage does not close it."""
        self._check_entered()
        if isinstance(made, type):
            raise CallboardError(f"{made.__qualname__} is a class: provide an object, {made.__qualname__}()")
        self.app.resources.put(kind, made)

    def expect(self, *errors: type[BaseException]) -> None:
        """Go on, as a worker would, when a handler raises one of these from now on."""
        self._play.expected += errors

    def crash(self, actor: str | EventActor, *, times: int = 1) -> None:
        """Lose the worker in the next attempts of an actor, before its handler is called.

        Nobody settles such an attempt: the delivery is taken over when its lease ends.
        """
        self._play.crashes[self._name_of(actor)] += times

    # Playing.

    def run(self) -> list[PastAttempt]:
        """Run what is ready, on this thread, until nothing is; the attempts that were made.

        Raises what a handler raised unless it was expected, `EndlessRun`, or `ConfigurationError` for
        what a worker would not start with.
        """
        return self._run(self._clock.now())

    async def arun(self) -> list[PastAttempt]:
        """The same in a test that is `async def`: `async def` handlers run on its event loop."""
        return await self._arun(self._clock.now())

    def advance(self, by: str | float | timedelta) -> list[PastAttempt]:
        """Let time pass ("6m", seconds, a timedelta): everything runs at the moment it falls due."""
        return self._run(self._after(by))

    async def aadvance(self, by: str | float | timedelta) -> list[PastAttempt]:
        """The same in a test that is `async def`."""
        return await self._arun(self._after(by))

    def advance_to(self, at: datetime) -> list[PastAttempt]:
        """Let time pass until a moment, an aware datetime that is not earlier than now."""
        return self._run(self._until(at))

    async def aadvance_to(self, at: datetime) -> list[PastAttempt]:
        """The same in a test that is `async def`."""
        return await self._arun(self._until(at))

    def __repr__(self) -> str:
        counts = " ".join(f"{word}={count}" for word, count in sorted(self.counts.items()))
        return f"<Stage of {self.app.name} at {self.now:%Y-%m-%d %H:%M:%S}: {counts or 'nothing happened'}>"

    # How it is done.

    def _run(self, end: int) -> list[PastAttempt]:
        self._check_entered()
        first = len(self._attempts)
        with closing(self._play.until(end)) as turns:
            for turn in turns:
                self._perform(turn)
        return self._attempts[first:]

    async def _arun(self, end: int) -> list[PastAttempt]:
        self._check_entered()
        first = len(self._attempts)
        with closing(self._play.until(end)) as turns:
            for turn in turns:
                await self._aperform(turn)
        return self._attempts[first:]

    def _perform(self, turn: Turn) -> None:
        if not turn.guarded.is_async:
            self._perform_here(turn)
            return
        if _is_loop_running():
            raise CallboardError(
                f"{turn.guarded.policy.actor} is async def, and so is the test: `await stage.arun()`, "
                "aadvance() or aadvance_to()"
            )
        self._runner.run(self._aperform(turn), context=copy_context())

    def _perform_here(self, turn: Turn) -> None:
        hooks, guarded = self.app.broker.hooks, turn.guarded
        if isinstance(guarded, Batched):
            perform_batch(hooks, guarded, turn.attempts, Report(turn.tell))
            return
        (attempt,) = turn.attempts
        turn.tell(attempt, perform(hooks, guarded, attempt))

    async def _aperform(self, turn: Turn) -> None:
        hooks, guarded = self.app.broker.hooks, turn.guarded
        if not guarded.is_async:
            self._perform_here(turn)
        elif isinstance(guarded, Batched):
            await aperform_batch(hooks, guarded, turn.attempts, Report(turn.tell))
        else:
            (attempt,) = turn.attempts
            turn.tell(attempt, await aperform(hooks, guarded, attempt))

    def _after(self, by: str | float | timedelta) -> int:
        return self._clock.now() + duration_ms(by, name="the time to pass")

    def _until(self, at: datetime) -> int:
        end = _epoch_ms(at)
        if end < self._clock.now():
            raise CallboardError(
                f"a stage's time never goes back: it is {self.now}, which is later than {at}"
            )
        return end

    def _check_entered(self) -> None:
        if self._leaving is None:
            raise CallboardError("the stage is not set: use it in `with Stage(app) as stage:`")

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        publisher = self.app.publisher
        before = publisher.clock, publisher.watch
        publisher.clock, publisher.watch = self._clock, self._mailbox.prepared
        try:
            yield
        finally:
            publisher.clock, publisher.watch = before


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _epoch_ms(at: datetime) -> int:
    if at.utcoffset() is None:
        raise CallboardError(f"{at.isoformat()} names no time zone: pass a datetime with tzinfo=UTC")
    return (at - _EPOCH) // timedelta(milliseconds=1)
