"""The house as a whole: what may be imported from where, what importing does, and what a wheel holds."""

import ast
import email.parser
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import callboard

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "callboard"
FLOORS = ("messages", "observability", "middleware", "actors")
FRONT = ("__init__.py", "public.py", "__main__.py", "py.typed", "cli", "demo", "testing")
"""What of src/callboard belongs to the package, besides the links to the floors."""

PUBLIC = [
    "Batch",
    "BatchContext",
    "Callboard",
    "CallboardBroker",
    "CallboardError",
    "Command",
    "Context",
    "Dedup",
    "DedupStore",
    "DeliveryReceipt",
    "Discard",
    "DiscardEvent",
    "Event",
    "HandlerTimeout",
    "Item",
    "MemoryDedupStore",
    "MemoryMailbox",
    "MetricsLayer",
    "PartialFailure",
    "Receipt",
    "RedisDedupStore",
    "RejectEvent",
    "RejectItem",
    "Retry",
    "RetryLater",
    "Sensitive",
    "SkipItem",
    "Stack",
    "TimeIsUp",
    "Tracing",
]

LOOK = """
import builtins, importlib, json, os, sys, threading

touched, asked = [], []
real_open, real_mkdir, real_get = builtins.open, os.mkdir, os.environ.get

def audit(name, args):
    if name == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        touched.append(str(args[0]))
    elif name in ("os.mkdir", "socket.connect", "subprocess.Popen", "os.fork", "os.putenv"):
        touched.append(f"{name} {args[0]}")

class Watched(dict):
    def __getitem__(self, key):
        asked.append(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        asked.append(key)
        return super().get(key, default)

sys.dont_write_bytecode = True
sys.addaudithook(audit)
os.environ._data = Watched(os.environ._data)
before = threading.active_count()
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
print(json.dumps({
    "touched": touched,
    "asked": sorted({key.decode() for key in asked if key.startswith(b"CALLBOARD")}),
    "threads": threading.active_count() - before,
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("callboard", "messages")),
}))
"""
"""Imports modules, and tells which files, processes, threads and settings were touched by that."""


def python(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def package_files() -> list[Path]:
    """The files of the package, by their path in it."""
    roots = [SOURCE / name for name in (*FRONT, *FLOORS)]
    files = [file for root in roots for file in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(
        file.relative_to(SOURCE) for file in files if file.is_file() and "__pycache__" not in file.parts
    )


def all_modules() -> list[str]:
    """Every module of the package but those that run something when they are imported."""
    parts = [("callboard", *path.with_suffix("").parts) for path in package_files() if path.suffix == ".py"]
    names = [".".join(part for part in module if part != "__init__") for module in parts]
    return sorted(name for name in names if not name.endswith("__main__"))


# Importing.


def test_importing_everything_in_an_empty_environment_does_no_work(tmp_path: Path) -> None:
    modules = all_modules()
    assert len(modules) > 40
    done = python("-W", "error", "-c", LOOK, json.dumps(modules), cwd=tmp_path, env={})
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert set(modules) <= set(seen["modules"])
    assert seen["touched"] == []
    assert seen["asked"] == []
    assert seen["threads"] == 0
    assert list(tmp_path.iterdir()) == []


def test_the_look_at_an_import_sees_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import os, pathlib, threading\n"
        "os.environ.get('CALLBOARD_URL')\n"
        "pathlib.Path('made').mkdir()\n"
        "pathlib.Path('written').write_text('x')\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    done = python("-c", LOOK, '["busy"]', cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["touched"] == ["os.mkdir made", "written"]
    assert seen["asked"] == ["CALLBOARD_URL"]
    assert seen["threads"] == 1


def test_the_public_names_are_these_and_sorted() -> None:
    assert callboard.__all__ == PUBLIC == sorted(PUBLIC)
    assert all(hasattr(callboard, name) for name in PUBLIC)


def test_the_root_loads_its_names_when_one_is_asked_for() -> None:
    told = python(
        "-c", "import sys, callboard, callboard.cli.program; print('dramatiq' in sys.modules)", cwd=ROOT
    )
    assert (told.stdout, told.stderr) == ("False\n", "")
    assert set(PUBLIC) <= set(dir(callboard))
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = getattr(callboard, "NoSuchName")  # noqa: B009 - the checkers know that it is not there


@pytest.mark.parametrize("module", [*FLOORS, "messages.event"])
def test_a_bare_import_of_a_floor_fails_at_once_instead_of_making_second_copies(module: str) -> None:
    done = python("-c", f"import {module}", cwd=ROOT)
    assert "ImportError" in done.stderr
    assert "callboard." in done.stderr


@pytest.mark.parametrize("module", ["middleware.stack", "actors.app", "actors.mailbox.redis"])
def test_a_module_that_needs_a_lower_floor_cannot_be_imported_by_its_bare_name(module: str) -> None:
    done = python("-c", f"import {module}", cwd=ROOT)
    assert "ImportError" in done.stderr


# Floors.


def test_arrows_between_the_floors_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def imports_of(path: Path) -> list[tuple[int, str, str]]:
    """The imports of a file: how many dots, the module, and the line's words."""
    found: list[tuple[int, str, str]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", ast.unparse(node)))
        elif isinstance(node, ast.Import):
            found += [(0, alias.name, ast.unparse(node)) for alias in node.names]
    return found


def test_imports_inside_the_package_are_relative() -> None:
    absolute = [
        f"{path}: {words}"
        for path in package_files()
        if path.suffix == ".py"
        for level, module, words in imports_of(SOURCE / path)
        if level == 0 and module.partition(".")[0] in ("callboard", *FLOORS)
    ]
    assert absolute == []


# What is shipped.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the files as they are."""
    out = tmp_path_factory.mktemp("wheel")
    alone = [] if find_spec("hatchling") is None else ["--no-isolation"]
    done = python("-m", "build", "--wheel", *alone, "--outdir", str(out), cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


def names_in(wheel: Path) -> Sequence[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    shipped = {name.removeprefix("callboard/") for name in names_in(wheel) if ".dist-info/" not in name}
    expected = {path.as_posix() for path in package_files()}
    assert shipped == expected | {"pytest_callboard.py"}
    assert "py.typed" in shipped
    assert any(name.endswith(".lua") for name in shipped)
    assert not [name for name in shipped if name.startswith(("src/", "tests/", "examples/"))]
    assert not [name for name in shipped if Path(name).name.startswith(("test_", "conftest"))]


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        told = email.parser.Parser().parsestr(archive.read(name).decode())
    assert (told["Name"], told["Requires-Python"], told["License-Expression"]) == (
        "callboard",
        ">=3.11",
        "Apache-2.0",
    )
    assert any(path.endswith("licenses/LICENSE") for path in names_in(wheel))
    requirements: list[str] = told.get_all("Requires-Dist", [])
    needed = {re.split(r"[^a-z-]", words)[0] for words in requirements if "extra ==" not in words}
    assert needed == {"dramatiq", "msgspec", "prometheus-client", "redis", "structlog", "uuid-utils"}


def test_the_wheel_works_in_a_fresh_interpreter(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = python(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    tried = (
        "import sys, pathlib\n"
        "import callboard, callboard.actors.mailbox.redis as redis\n"
        "from callboard.actors.mailbox.scripts import Script\n"
        "assert pathlib.Path(callboard.__file__).is_relative_to(sys.argv[1]), callboard.__file__\n"
        "assert pathlib.Path(redis.__file__).is_relative_to(sys.argv[1]), redis.__file__\n"
        "for name in 'publish fetch settle renew register routes info purge heartbeat'.split():\n"
        "    Script(name)\n"
        "class Placed(callboard.Event, name='order.placed'):\n"
        "    number: int\n"
        "app = callboard.Callboard('shop', mailbox=callboard.MemoryMailbox())\n"
        "@app.actor\n"
        "def handler(event: Placed) -> None: ...\n"
        "print(len(app.publish(Placed(1)).deliveries))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = python("-c", tried, str(site), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"


@pytest.mark.parametrize("floor", FLOORS)
def test_no_traceback_of_ours_is_followed_up_with_the_values_of_variables(floor: str) -> None:
    """As structlog does where rich is installed: `observability/tracebacks.py` has what does not."""
    told = re.compile(r"logger\.exception\(|exc_info=(?!True\b)")
    found = [path.name for path in (ROOT / floor).rglob("*.py") if told.search(path.read_text("utf-8"))]
    assert found == []
