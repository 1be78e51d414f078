"""A server that does not answer for a while is written down, one that does is not."""

import time
from contextlib import closing
from pathlib import Path

from tests.actors.rehearsal import until
from tests.chaos.history import History, read_history
from tests.chaos.pulse import SILENCE, SILENT_SECONDS, Pulse
from tests.servers import start_server


def test_the_silence_of_a_server_is_written_down_from_the_first_question_without_an_answer(
    tmp_path: Path,
) -> None:
    server = start_server("valkey", tmp_path / "s")
    with closing(History(tmp_path)) as history, Pulse(server.url, history):
        server.pause()
        stopped_at = time.monotonic()
        until(lambda: time.monotonic() > stopped_at + 2 * SILENT_SECONDS, "it to be silent for long enough")
        server.resume()
        until(lambda: read_history(tmp_path), "the silence to be seen")
    server.stop()
    (told,) = read_history(tmp_path)
    assert (told["kind"], told["member"]) == (SILENCE, None)
    assert told["end"] - told["start"] > SILENT_SECONDS
    assert told["start"] < stopped_at + SILENT_SECONDS
