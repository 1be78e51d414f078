"""A real pool of which a part hangs is found not to be alive, and one whose parts only wait is not."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.front.conftest import Run, Start, wait_for
from tests.front.test_metrics import get, send, succeeded, value
from tests.front.test_pool_health import reasons
from tests.servers import Server, start_server

HANGS_AFTER = 3.0

WAITS = 6.0
"""Seconds after which a part hangs where none does: as in earnest, more than a call of a server takes."""

SHOP = f"""
import asyncio, os, time
from pathlib import Path
from callboard import Callboard, Context, Event
from callboard.actors import pulse
from callboard.actors.consumer import CallboardConsumer
from callboard.actors.item_writer import ItemWriter
from callboard.actors.renewer import Renewer
from callboard.actors.settler import Settler

app = Callboard("shop", lease="5s", grace="1s", timeout="30s")
pulse.HANGS_AFTER = {HANGS_AFTER}


class OrderPlaced(Event, name="order.placed"):
    order_id: str


def hang(part):
    while Path(f"hang-{{part}}").exists():
        time.sleep(0.02)


def plant(cls, method, part):
    healthy = getattr(cls, method)

    def hanging(*args, **said):
        hang(part)
        return healthy(*args, **said)

    setattr(cls, method, hanging)


plant(CallboardConsumer, "_refill", "consumer")
plant(Settler, "_try", "settler")
plant(Renewer, "_renew", "renewer")
plant(ItemWriter, "_write", "items")


@app.actor(queue="orders")
def note(event: OrderPlaced, ctx: Context) -> None:
    Path("pid").write_text(str(os.getpid()))
    for item in ctx.items([1]):
        with item:
            pass
    if event.order_id == "slow":
        time.sleep({WAITS} + 2)


@app.actor(queue="loop")
async def wait(event: OrderPlaced) -> None:
    if event.order_id == "loop":
        asyncio.get_running_loop().call_soon(hang, "loop")
    if event.order_id == "slow":
        await asyncio.sleep({WAITS} + 2)
"""

RUN = [sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1", "-t", "2"]


@pytest.fixture(autouse=True)
def _app(tmp_path: Path, sockets: Path, environment: dict[str, str], address: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    environment["CALLBOARD_METRICS"] = address


@pytest.fixture
def server(tmp_path: Path, environment: dict[str, str]) -> Iterator[Server]:
    """A server of the pool's own."""
    started = start_server("valkey", tmp_path / "server")
    environment["CALLBOARD_URL"] = started.url
    yield started
    started.stop()


def is_up(address: str) -> bool:
    return get(address, "/readyz")[0] == 200 and value(address, "worker_threads") == 2


def test_each_part_that_hangs_is_named_until_it_moves_again(
    callboard: Run, start: Start, address: str, tmp_path: Path
) -> None:
    start(RUN)
    wait_for(lambda: is_up(address), "the process")
    for part in ("loop", "renewer", "settler", "items"):
        (tmp_path / f"hang-{part}").touch()
    send(callboard, "loop")
    for part in ("settler", "renewer", "event loop", "item writer"):
        wait_for(lambda: f"its {part} has not moved for" in reasons(address, "/livez"), part)  # noqa: B023 - at once
    (tmp_path / "hang-consumer").touch()
    for queue in ("orders", "loop"):
        wait_for(
            lambda: f"its consumer of {queue} has not moved for" in reasons(address, "/livez"),  # noqa: B023 - at once
            queue,
        )
    assert get(address, "/livez")[0] == 503
    assert get(address, "/readyz")[0] == 200
    assert value(address, "worker_threads_stuck") == 6
    for each in tmp_path.glob("hang-*"):
        each.unlink()
    wait_for(lambda: get(address, "/livez")[0] == 200, "all of them to move")
    assert value(address, "worker_threads_stuck") == 0
    wait_for(lambda: succeeded(address) == 2, "what they were at")


def test_what_only_waits_is_not_taken_for_hanging(
    callboard: Run, start: Start, address: str, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace(f"= {HANGS_AFTER}", f"= {WAITS}"))
    start(RUN)
    wait_for(lambda: is_up(address), "the process")
    told: set[str] = set()

    def is_well_until(condition: object) -> bool:
        told.update(each for each in [reasons(address, "/livez")] if "has not moved" in each)
        return bool(condition)

    send(callboard, "slow")
    wait_for(lambda: is_well_until(succeeded(address) == 2), "handlers that take long")
    server.pause()
    wait_for(lambda: is_well_until(get(address, "/readyz")[0] == 503), "a server that does not answer")
    server.resume()
    server.stop()
    looks = iter(range(1000))
    wait_for(lambda: is_well_until(next(looks) > 10 * WAITS), "a server that is away for long")
    server.restart()
    wait_for(lambda: is_well_until(is_up(address)), "the server")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
    wait_for(lambda: "has said nothing for" in reasons(address, "/livez"), "the process to be missed")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
    wait_for(lambda: is_well_until(get(address, "/livez")[0] == 200), "it to be heard of")
    assert told == set()
