"""Of a worker that works its parts are told, and of one that stops, and loses them, none is missed."""

import pytest

from callboard import MemoryMailbox
from callboard.actors import pulse
from callboard.actors.pulse import Pulse
from tests.actors.rehearsal import new_app, subscribe, until, working


def test_of_a_worker_that_stops_no_part_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app(MemoryMailbox())
    subscribe(app, "receipt", queue="orders")
    monkeypatch.setattr(pulse, "HANGS_AFTER", -1.0)  # whatever is looked at
    with working(app) as worker:
        process = app.broker.worker
        assert process is not None
        looked = Pulse(process, worker)
        until(lambda: "consumer of orders" in looked.take().hanging, "the consumer")
        vitals = looked.take()
        assert vitals.ended == ()
        assert {"settler", "item writer", "renewer", "event loop"} <= vitals.hanging.keys()
    vitals = looked.take()
    assert "ConsumerThread" in looked._ended()
    assert (vitals.ended, vitals.hanging) == ((), {})
