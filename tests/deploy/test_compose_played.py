"""The compose file, played from end to end on real processes, after the steps that the page tells."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.deploy.dockerfile import stages_of
from tests.deploy.engine import NOTHING, Image
from tests.deploy.planted import changed_at
from tests.deploy.played import Project, Running
from tests.deploy.prometheus import await_so
from tests.deploy.steps import follow_the_page
from tests.deploy.test_compose import composed
from tests.programs import needed
from tests.servers import binary_of

SERVER = "FROM valkey\nWORKDIR /data\nUSER 0:0\nENTRYPOINT []\n"
PROMETHEUS = 'FROM prometheus\nWORKDIR /prometheus\nUSER 65534:65534\nENTRYPOINT ["prometheus"]\n'
"""What of the images of others is counted on: the directory, the user and the entry point."""


@pytest.fixture(scope="module")
def images(image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """By the names in the file: ours, and this machine's programs in the place of the others."""
    directory = tmp_path_factory.mktemp("images")
    server = {"valkey-server": binary_of("valkey"), "valkey-cli": needed("redis-cli", "redis-tools")}
    looking = {name: needed(name, name) for name in ("prometheus", "wget")}
    services = composed()["services"]
    return {
        services["workers"]["image"]: image,
        services["valkey"]["image"]: Image(directory / "valkey", stages_of(SERVER), server),
        services["prometheus"]["image"]: Image(directory / "prometheus", stages_of(PROMETHEUS), looking),
    }


class Play:
    """Plays the file in a checkout of its own, in which the page has been followed."""

    def __init__(self, images: dict[str, Image], directory: Path) -> None:
        self._images = images
        self._directory = directory
        self._open = ExitStack()
        self.compose = follow_the_page(directory / "checkout")

    def begin(self, changes: Mapping[str, Any] = NOTHING) -> Project:
        """Begin with places of the file changed."""
        file = composed()
        for pointer, value in changes.items():
            file = changed_at(file, pointer, value)
        project = Project(file, self.compose, self._images, self._directory)
        self._open.callback(project.close)
        return project

    def write(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file that the compose file mounts."""
        file = self.compose / name
        text = file.read_text()
        assert change(text) != text
        file.write_text(change(text))

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def play(images: dict[str, Image], tmp_path: Path) -> Iterator[Play]:
    """What plays the file, and ends what it has begun."""
    play = Play(images, tmp_path)
    yield play
    play.close()


def scraped(watching: Running, query: str) -> dict[str, float]:
    """What Prometheus answers: each figure by the address that it is of, or by nothing."""
    url = f"http://127.0.0.1:9090/api/v1/query?query={quote(query)}"
    code, said = watching.asked("wget", "-qO-", url)
    assert code == 0, said
    return {
        each["metric"].get("instance", ""): float(each["value"][1])
        for each in json.loads(said)["data"]["result"]
    }


def inside(running: Running, name: str) -> str:
    """What the system says of process 1 of a container."""
    return Path(f"/proc/{running.container.pid}/{name}").read_text()


def assert_hardened(running: Running, uid: int) -> None:
    """No user but its own, no capability, none to be had, and a root that nobody can write to."""
    status = inside(running, "status")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert inside(running, "uid_map").split()[0] == str(uid)
    (root,) = [line.split() for line in inside(running, "mounts").splitlines() if line.split()[1] == "/"]
    assert "ro" in root[3].split(",")


def test_what_the_page_begins_is_well_works_is_watched_and_ends_in_its_grace(play: Play) -> None:
    play.write("prometheus.yml", lambda text: text.replace("interval: 15s", "interval: 1s"))
    project = play.begin()
    workers = project.up("workers")
    (server,) = project.running["valkey"]
    assert len(workers) == 2
    code, said = project.run("publisher")
    assert code == 0, said
    await_so(lambda: sum(each.container.said.count('"sending"') for each in workers) == 1, said, 30)
    (watching,) = project.up("prometheus")
    await_so(lambda: list(scraped(watching, "up").values()) == [1.0, 1.0], "both pools are scraped", 30)
    succeeded = 'sum(callboard_deliveries_ended_total{result="succeeded"})'
    await_so(lambda: scraped(watching, succeeded) == {"": 1.0}, "the success is counted", 30)
    for each, uid in ((server, 999), (workers[0], 10001), (watching, 65534)):
        assert_hardened(each, uid)
    for each in (*workers, watching, server):
        assert each.is_well()
        assert each.stop() == 0, each.container.said
        assert not each.is_well()


def test_a_server_begins_again_with_what_its_volume_keeps(play: Play) -> None:
    project = play.begin()
    password = (play.compose / "secrets/worker.password").read_text().strip()
    as_worker = ["valkey-cli", "--no-auth-warning", "--user", "worker", "-a", password]
    said = []
    for line in ("set callboard:{default}:kept yes", "get callboard:{default}:kept"):
        with project.started("valkey") as server:
            server.await_well()
            said.append(server.asked(*as_worker, *line.split()))
            assert server.stop() == 0
    assert said == [(0, "OK\n"), (0, "yes\n")]


WORKERS = "services/workers"
URL_FILE = f"{WORKERS}/environment/CALLBOARD_URL_FILE"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({URL_FILE: "/run/secrets/worke"}, 2, "CALLBOARD_URL_FILE: '/run/secrets/worke' cannot be read"),
        (
            {f"{WORKERS}/secrets/0": "publisher", URL_FILE: "/run/secrets/publisher"},
            2,
            "the user 'publisher' may not do what the role worker does",
        ),
        ({f"{WORKERS}/networks": ["watching"]}, 3, "cannot be reached"),
        ({f"{WORKERS}/environment/CALLBOARD_WORKSPACE": "other"}, 2, "~callboard:{other}:*"),
        ({f"{WORKERS}/volumes": []}, 2, "there is no module shop in /app"),
        ({f"{WORKERS}/tmpfs": []}, 2, "mount one on /tmp, or name one as TMPDIR"),  # noqa: S108
        ({f"{WORKERS}/command/1": "shop:ap"}, 2, "shop:ap"),
    ],
    ids=["secret", "role", "network", "workspace", "app", "tmpfs", "name"],
)
def test_workers_tell_what_is_wrong_with_the_file(
    play: Play, changes: dict[str, Any], code: int, words: str
) -> None:
    project = play.begin(changes)
    project.up("valkey")
    with project.started("workers") as workers:
        assert workers.container.wait() == code, workers.container.said
        assert words in workers.container.said
        assert not workers.is_well()


def test_workers_tell_that_their_password_is_another(play: Play) -> None:
    play.write("secrets/worker.url", lambda text: re.sub(r":[^:@]+@", ":of-last-year@", text))
    project = play.begin()
    project.up("valkey")
    with project.started("workers") as workers:
        assert workers.container.wait() == 3
        assert "the server does not let this user in" in workers.container.said
        assert "of-last-year" not in workers.container.said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"services/valkey/secrets": []}, "users.acl"),
        ({"services/valkey/volumes": []}, "Read-only file system"),
        ({"services/valkey/configs": []}, "valkey.conf"),
    ],
    ids=["users", "volume", "configuration"],
)
def test_a_server_tells_what_is_wrong_with_the_file(play: Play, changes: dict[str, Any], words: str) -> None:
    with play.begin(changes).started("valkey") as server:
        assert server.container.wait() != 0
        assert words in server.container.said
        assert not server.is_well()


def test_a_server_without_an_answer_is_not_well(play: Play) -> None:
    (server,) = play.begin().up("valkey")
    os.kill(server.container.pid, signal.SIGSTOP)
    assert not server.is_well()
