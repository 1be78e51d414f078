"""dramatiq's middleware sees on Callboard's broker what it sees on dramatiq's own: each hook, in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import prometheus_client  # noqa: F401 - before a test sets its directory, or all counters would share files
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware, SkipMessage

from callboard import MemoryMailbox
from tests.actors.houses import CallboardHouse, House, StubHouse, work_off

OF_MESSAGES = ("enqueue", "delay_message", "process_message", "skip_message", "ack", "nack")
BOOKKEEPING = {"eta", "traceback", "requeue_timestamp"}
Line = tuple[object, ...]


class Trace(Middleware):
    """Writes down every hook that is called, with what it was told."""

    def __init__(self) -> None:
        self.of_messages: list[Line] = []
        self.of_workers: list[str] = []
        self._delayed: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("before_", "after_")):
            return lambda broker, *args, **kwargs: self._note(name, args, kwargs)
        return super().__getattribute__(name)

    def _note(self, hook: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not hook.endswith(OF_MESSAGES):
            said = args[0] if "declare_queue" in hook else type(args[0]).__name__ if args else ""
            self.of_workers.append(f"{hook} {said}")
        elif not self._is_for_delay(hook, args):
            self.of_messages.append((hook, *map(tell, args), *(tell(value) for value in kwargs.values())))

    def _is_for_delay(self, hook: str, args: tuple[Any, ...]) -> bool:
        """Whether a hook is only there because dramatiq's brokers move what is delayed twice."""
        message = args[0]
        if "delay_message" in hook:
            self._delayed.add(message.message_id)
            return True
        if "ack" in hook:
            return bool(message.queue_name.endswith(".DQ"))
        moved = "enqueue" in hook and args[1] is None and message.message_id in self._delayed
        if moved and hook.startswith("after"):
            self._delayed.discard(message.message_id)
        return moved


def tell(value: Any) -> object:
    """What a hook was told, so far as it is the same wherever it is told."""
    if isinstance(value, MessageProxy | dramatiq.Message):
        failed = value.failed if isinstance(value, MessageProxy) else None
        options = sorted(set(value.options) - BOOKKEEPING)
        retries = value.options.get("retries")
        arguments = [argument for argument in value.args if not isinstance(argument, dict)]
        queue = value.queue_name.removesuffix(".DQ")
        return (value.actor_name, queue, arguments, options, retries, failed)
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else value


class Skips(Middleware):
    """Skips the messages that ask for it."""

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        del broker
        if "skip" in message.options:
            raise SkipMessage("as it asks for")


def play(house: House, trace: Trace) -> None:
    """A program in which every outcome of a message occurs."""
    broker = house.broker
    broker.add_middleware(trace)
    broker.add_middleware(Skips())

    @dramatiq.actor(broker=broker)
    def told(*said: Any) -> None:
        del said

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=2, on_retry_exhausted="told")
    def works(what: str) -> str:
        if what == "fails":
            raise ValueError("no luck")
        return what

    works.send("succeeds")
    works.send_with_options(args=("is told of",), on_success=told)
    works.send_with_options(args=("skipped",), skip=True)
    works.send_with_options(args=("too old",), max_age=-1)
    work_off(house, threads=1)
    works.send_with_options(args=("fails",), on_failure=told)
    work_off(house, threads=1)
    works.send_with_options(args=("delayed",), delay=3)
    dramatiq.pipeline([works.message("first"), told.message()], broker=broker).run()
    work_off(house, threads=1)


HOUSES: list[Callable[[], House]] = [StubHouse, lambda: CallboardHouse(MemoryMailbox())]


def test_every_hook_is_called_in_the_same_order_with_the_same_arguments() -> None:
    traces = [Trace(), Trace()]
    for make, trace in zip(HOUSES, traces, strict=True):
        play(make(), trace)
    theirs, ours = traces
    assert by_message(ours.of_messages) == by_message(theirs.of_messages)
    assert len(ours.of_messages) > 60


def by_message(lines: list[Line]) -> dict[str, list[Line]]:
    """The hooks of each message: two that wait at the same time may take turns."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(str(line[1])[:40], []).append(line)
    return found


def test_every_hook_of_a_worker_and_of_declarations_is_called() -> None:
    traces = [Trace(), Trace()]
    for make, trace in zip(HOUSES, traces, strict=True):
        play(make(), trace)
    theirs, ours = (
        [line for line in sorted(set(trace.of_workers)) if "delay_queue" not in line] for trace in traces
    )
    # Delay queues are dramatiq's own; there are none in a mailbox.
    assert ours == theirs
    assert "before_worker_boot Worker" in ours


def test_a_hook_is_given_a_message_of_its_own_to_write_in(house: House) -> None:
    class Writes(Middleware):
        """Leaves a word in whatever is enqueued."""

        def before_enqueue(
            self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None
        ) -> None:
            del broker, delay
            message.options["word"] = message.options.get("word", "") + "x"

    house.broker.add_middleware(Writes())
    words: list[str] = []

    class Reads(Middleware):
        """Reads it when the message comes in."""

        def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
            del broker
            words.append(message.options["word"])

    house.broker.add_middleware(Reads())

    @dramatiq.actor(broker=house.broker, max_retries=2, min_backoff=1, max_backoff=1)
    def fails() -> None:
        raise ValueError("no luck")

    fails.send()
    work_off(house)
    # dramatiq's brokers enqueue what was delayed once more, so theirs has more of them.
    assert words[0] == "x"
    assert [len(word) for word in words] == sorted({len(word) for word in words})
    assert len(words) == 3


def test_dramatiqs_own_metrics_count_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("dramatiq_prom_db", str(tmp_path))
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        monkeypatch.setenv(name, str(tmp_path))  # the middleware sets both, and would leave them
    from dramatiq.middleware.prometheus import Prometheus  # noqa: PLC0415 - reads its directory when imported

    counted: list[list[tuple[str, float]]] = []
    for make in HOUSES:
        house, prometheus = make(), Prometheus()
        house.broker.add_middleware(prometheus)
        house.broker.emit_after("process_boot")
        play(house, Trace())
        metrics: list[Any] = [
            prometheus.total_messages,
            prometheus.total_errored_messages,
            prometheus.total_rejected_messages,
            prometheus.inprogress_messages,
        ]
        counted.append(
            sorted(
                (f"{sample.name} {sample.labels}", sample.value)
                for metric in metrics
                for sample in next(iter(metric.collect())).samples
                if not sample.name.endswith("_created")
            )
        )
    theirs, ours = counted
    assert ours == theirs
    assert len(ours) == 6
