"""`callboard trace`: the tree as text and as JSON, of a real pool's work."""

import json
import sys
from pathlib import Path

from callboard.cli.exits import ExitCode
from tests.front.conftest import Run, Start, wait_for

SHOP = """
from callboard import Callboard, Context, Event, Retry

app = Callboard("shop")


class Placed(Event, name="order.placed"):
    order_id: str


class Packed(Event, name="order.packed"):
    order_id: str


@app.actor
def pack(event: Placed, ctx: Context) -> None:
    ctx.publish(Packed(event.order_id))


@app.actor(retry=Retry.every("1 ms", max_attempts=2))
def post(event: Packed, ctx: Context) -> None:
    raise ConnectionError(f"try {ctx.attempt} of [post]")
"""


def test_a_trace_is_drawn_and_printed(callboard: Run, start: Start, shop: Path) -> None:
    (shop / "shop.py").write_text(SHOP)
    sent = callboard("send", "shop:app", "order.placed", "--data", '{"order_id": "A-1"}', "--json")
    event = json.loads(sent.stdout)["id"]
    start([sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1"])

    def is_dead() -> bool:
        # Until a worker has said who subscribes, nobody knows whom the event is for.
        told = json.loads(callboard("trace", event, "--json").stdout or '{"events": [{"deliveries": []}]}')
        return any(each["state"] == "dead" for each in told["events"][-1]["deliveries"])

    wait_for(is_dead, "the dead letter")
    done = callboard("trace", event)
    assert done.returncode == ExitCode.OK
    lines = done.stdout.splitlines()
    assert lines[0] == f"correlation {event}"
    assert lines[1].startswith(f"order.placed {event} 2")
    assert lines[2].startswith("  pack: succeeded at about 2")
    assert lines[3].startswith("  order.packed ")
    assert lines[4].startswith("    post: dead (max_attempts) after 2 attempts at 2")
    assert lines[5].startswith("      first ConnectionError: try 1 of [post] 2")
    assert lines[6].startswith("      last ConnectionError: try 2 of [post] 2")


def test_of_what_is_not_known_it_says_so(callboard: Run, shop: Path) -> None:
    callboard("send", "shop:app", "order.placed", "--data", '{"order_id": "A-1"}')
    done = callboard("trace", "no-such-id")
    assert done.returncode == ExitCode.FAILED
    assert "nothing is known of 'no-such-id'" in done.stderr
