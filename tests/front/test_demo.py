"""`callboard demo`: played to its end, with a worker killed, and interrupted; and what it judges by."""

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from callboard.actors.mailbox.infos import MailboxInfo, QueueInfo
from callboard.cli.exits import ExitCode
from callboard.demo.effects import Effect
from callboard.demo.plan import ACTORS, make_plan
from callboard.demo.play import stage
from callboard.demo.verdict import Verdict, judge
from tests.front.conftest import Run, Start, wait_for

DEMO = [sys.executable, "-m", "callboard", "demo", "--events", "40"]


def test_the_demo_ends_with_nothing_lost(callboard: Run, tmp_path: Path) -> None:
    done = callboard("demo", "--events", "40")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "Nothing was lost." in done.stdout
    assert "NO" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_survives_the_death_of_a_worker(callboard: Run, tmp_path: Path) -> None:
    done = callboard("demo", "--events", "150", "--kill", "--json", "--home", "home")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert len(told["killed"]) == 1
    assert told["takeovers"] > 0
    assert f"kill -9 {told['killed'][0]}" in done.stderr
    assert "was killed; starting another" in done.stderr
    assert (tmp_path / "home" / "worker-1.log").exists()


def test_an_interrupted_demo_leaves_nothing_behind(
    start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["TMPDIR"] = str(tmp_path / "t")
    (tmp_path / "t").mkdir()
    process = start([*DEMO[:-1], "3000"])
    wait_for(lambda: "published" in (tmp_path / "out").read_text(), "the demo's first line")
    (home,) = (tmp_path / "t").iterdir()
    servers = [home / "keeper.lock", home / "server.lock"]
    assert all(lock.exists() for lock in servers)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == ExitCode.INTERRUPTED, (tmp_path / "err").read_text()
    assert list((tmp_path / "t").iterdir()) == []
    assert (tmp_path / "err").read_text() == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_directory_is_removed_though_its_server_still_puts_its_files_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really, faults = shutil.rmtree, [FileNotFoundError("server.sock"), OSError(errno.ENOTEMPTY, "not empty")]

    def rmtree(home: Path) -> None:
        if faults:
            raise faults.pop()
        really(home)

    # It is a matter of a millisecond, which no real server can be made to meet.
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with stage(None) as home:
        (home / "file").touch()
    assert faults == []
    assert not home.exists()


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    assert make_plan(100, 7) == make_plan(100, 7)
    assert make_plan(100, 7) != make_plan(100, 8)


def test_a_plan_says_of_every_order_what_has_to_come_of_it() -> None:
    plan = make_plan(1000, 1)
    declined = {event.order for event in plan.events if event.declined}
    assert len(plan.events) == 1000 + plan.duplicates
    assert len(declined) == plan.dead
    assert len(plan.effects) == 1000 * len(ACTORS) - plan.dead * (len(ACTORS) - 1)
    assert min(plan.duplicates, plan.dead, sum(event.failures for event in plan.events)) > 0


PLAN = make_plan(2, 1)
DONE = [Effect(actor, order, 1, 1, 10, 0) for actor, order in sorted(PLAN.effects)]


def _judged(effects: list[Effect], *, killed: tuple[int, ...] = (), fenced: int = 0) -> Verdict:
    queue = QueueInfo("orders", succeeded=len(PLAN.effects), dead=PLAN.dead, fenced=fenced)
    return judge(
        PLAN,
        effects,
        MailboxInfo("demo", "memory", 0, (queue,)),
        accepted=len(PLAN.events),
        duplicates=PLAN.duplicates,
        killed=killed,
        seconds=1.0,
    )


def _again(effect: Effect, pid: int = 11) -> Effect:
    return msgspec.structs.replace(effect, fence=effect.fence + 1, pid=pid)


def test_a_demo_that_went_as_planned_is_well() -> None:
    assert _judged(DONE).ok


def test_a_missing_effect_is_told() -> None:
    assert not _judged(DONE[1:]).ok


def test_an_effect_nobody_asked_for_is_told() -> None:
    assert not _judged([*DONE, Effect("note", "B-1", 1, 1, 10, 0)]).ok


def test_an_effect_done_twice_is_told() -> None:
    assert not _judged([*DONE, _again(DONE[0])]).ok


def test_an_effect_done_again_after_its_worker_was_killed_is_explained() -> None:
    verdict = _judged([*DONE, _again(DONE[0])], killed=(10,))
    assert verdict.ok
    assert verdict.repeated_after_kill == 1


def test_a_kill_does_not_explain_what_another_worker_did_twice() -> None:
    assert not _judged([*DONE, _again(DONE[0])], killed=(11,)).ok


def test_an_effect_done_again_after_a_lease_ran_out_is_explained_once() -> None:
    assert _judged([*DONE, _again(DONE[0])], fenced=1).ok
    assert not _judged([*DONE, _again(DONE[0]), _again(DONE[1])], fenced=1).ok
