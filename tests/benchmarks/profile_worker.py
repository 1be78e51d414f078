"""Shows where a worker's time goes on no-op events: `python -m tests.benchmarks.profile_worker`.

It first tells what each thread and the server used of the processor, with no profiler in the way. Then
it runs the same again, looked at in one of two ways. `sample` looks many times a second at what each
thread does: it changes little, but sees a thread more often where it lets go of the interpreter.
`trace` is cProfile in each thread, on the thread's own processor time: exact in its counts, and unfair
to small functions.
"""

import argparse
import cProfile
import io
import pstats
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import dramatiq

from .ground import Ground, open_ground
from .sides import Spec, callboard_app, publish_orders
from .tally import Report, Tally
from .worker import PATIENCE

SHOWN = 18
"""Lines for each kind of thread, and for the server."""

EVERY = 0.001
"""Seconds between two looks at the threads."""

IDLE = 0.97
"""A kind of thread that was seen at one place more often than this is not shown."""

LITTLE = 0.02
"""Processor seconds of a kind of thread below which its trace is not shown."""

Watch = tuple[Callable[[], None], Callable[[], None]]
"""What begins looking and what ends it."""


def main() -> None:
    """Run the worker in this process: bare for what it costs, then under the profiler."""
    wanted = _arguments()
    with open_ground(wanted.server) as ground:
        _tell_costs(ground, wanted.count)
        with _sampled() if wanted.how == "sample" else _traced() as (begin, end):
            report = _work(ground, wanted.count, begin, end)
    _say(f"\n{report.per_second(wanted.count):,.0f}/s under the profiler")


def _work(ground: Ground, count: int, begin: Callable[[], None], end: Callable[[], None]) -> Report:
    """Case `process` in this process: publish, then work it off with 8 threads.

    `begin` is called before the worker starts, `end` before it stops.
    """
    ground.clear()
    tally = Tally(awaits_settlements=True)
    app = callboard_app(Spec("callboard", ground.url), tally)
    publish_orders(app, count)
    ground.settle_down()
    worker = dramatiq.Worker(app.broker, worker_threads=8)
    begin()
    worker.start()
    try:
        report = tally.until(count, PATIENCE)
        end()
    finally:
        worker.stop()
        app.close()
    return report


def _kind(thread: threading.Thread) -> str:
    """One name for all threads that do the same."""
    made = type(thread).__name__
    return thread.name if made in ("Thread", "_MainThread") else made


# Costs.


def _tell_costs(ground: Ground, count: int) -> None:
    used: defaultdict[str, float] = defaultdict(float)
    before: dict[str, dict[str, float]] = {}
    after: dict[str, dict[str, float]] = {}

    def begin() -> None:
        before.update(ground.command_times())
        for kind, microseconds in _thread_times():
            used[kind] -= microseconds

    def end() -> None:
        after.update(ground.command_times())
        for kind, microseconds in _thread_times():
            used[kind] += microseconds

    report = _work(ground, count, begin, end)
    _say(f"{count:,} no-op events: {report.per_second(count):,.0f}/s\n")
    _say("processor time of the worker's threads: us for each event")
    for kind, microseconds in sorted(used.items(), key=lambda item: -item[1]):
        _say(f"  {microseconds / count:8.2f}  {kind}")
    _say("\nthe server's commands: us and calls for each event (evalsha contains what the scripts call)")
    spent = {name: _difference(times, before.get(name, {})) for name, times in after.items()}
    for name, (microseconds, calls) in sorted(spent.items(), key=lambda item: -item[1][0])[:SHOWN]:
        _say(f"  {microseconds / count:8.2f}  {calls / count:8.3f}  {name}")


def _thread_times() -> Iterator[tuple[str, float]]:
    for thread in threading.enumerate():
        if thread.ident is not None:
            yield _kind(thread), time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) * 1e6


def _difference(after: dict[str, float], before: dict[str, float]) -> tuple[float, float]:
    return after["usec"] - before.get("usec", 0), after["calls"] - before.get("calls", 0)


# Samples.


@contextmanager
def _sampled() -> Iterator[Watch]:
    """Look at all threads again and again; prints what was seen when it is over."""
    done = threading.Event()
    leaves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    stacks: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def look() -> None:
        while not done.wait(EVERY):
            kinds = {thread.ident: _kind(thread) for thread in threading.enumerate()}
            for identity, frame in sys._current_frames().items():
                kind = kinds.get(identity, "gone")
                leaves[kind][f"{_place(frame)}:{frame.f_lineno}"] += 1
                stacks[kind].update(_stack(frame))

    thread = threading.Thread(target=look, name="sampler", daemon=True)
    yield thread.start, done.set
    thread.join()
    for kind in leaves.keys() - {"sampler", "MainThread", "gone"}:
        total = leaves[kind].total()
        if leaves[kind].most_common(1)[0][1] < IDLE * total:
            _tell_counts(f"{kind}: {total:,} samples, by line", leaves[kind], total)
            _tell_counts(f"{kind}: by function, with what it calls", stacks[kind], total)


def _stack(frame: FrameType) -> set[str]:
    """The functions on a stack, each once."""
    places: set[str] = set()
    at: FrameType | None = frame
    while at is not None:
        places.add(_place(at))
        at = at.f_back
    return places


def _place(frame: FrameType) -> str:
    return f"{'/'.join(Path(frame.f_code.co_filename).parts[-2:])} {frame.f_code.co_qualname}"


def _tell_counts(title: str, counts: Counter[str], total: int) -> None:
    _say(f"\n{title}")
    for place, count in counts.most_common(SHOWN):
        _say(f"  {count / total:6.1%}  {place}")


# Traces.


@contextmanager
def _traced() -> Iterator[Watch]:
    """Profile every thread that starts meanwhile; prints what they did when they have ended."""
    profiles: defaultdict[str, list[cProfile.Profile]] = defaultdict(list)

    def profile_this_thread(_frame: FrameType, _event: str, _argument: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles[_kind(threading.current_thread())].append(profile)
        profile.enable()

    yield lambda: threading.setprofile(profile_this_thread), lambda: threading.setprofile(None)
    for kind, each in profiles.items():
        output = io.StringIO()
        stats = pstats.Stats(*each, stream=output)
        if stats.get_stats_profile().total_tt < LITTLE:
            continue
        stats.sort_stats("tottime").print_stats(SHOWN)
        _say(f"\n{kind}, {len(each)} of them\n{output.getvalue().strip()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profile_worker", description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="events to work off")
    parser.add_argument("--how", choices=("sample", "trace"), default="sample")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    wanted = parser.parse_args()
    if wanted.how == "trace" and sys.version_info >= (3, 12):
        parser.error("from Python 3.12 cProfile takes one thread at a time: use --how sample, or Python 3.11")
    return wanted


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
