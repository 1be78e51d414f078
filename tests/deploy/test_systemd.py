"""The systemd unit: systemd knows all that stands in it, and it fits how a pool starts and ends."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.facts import DEPLOY, DRAIN, command_faults, settings_faults
from tests.programs import needed

UNIT = DEPLOY / "systemd/callboard-worker@.service"
TEXT = UNIT.read_text()
ENVIRONMENT = (DEPLOY / "systemd/shop.env").read_text()
MOST_EXPOSED = 1.3
"""Of the 10 points that `systemd-analyze security` gives to a service that nothing keeps from anything.

It is what systemd 252 gives. What is left are its network and sockets, code made at run time (by ctypes and
the like), and the files of the machine that it may read.
"""


def analyze(directory: Path, text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Let systemd look at a unit, whose command is one that is there."""
    there = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE)
    (directory / UNIT.name).write_text(there)
    return subprocess.run(
        [needed("systemd-analyze", "systemd"), *arguments, f"./{UNIT.name}"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def verified(directory: Path, text: str) -> str:
    """What systemd has against a unit; what it does not know it tells and passes over."""
    done = analyze(directory, text, "verify", "--man=no", "--recursive-errors=no")
    return done.stderr or ("" if done.returncode == 0 else "refused")


def test_systemd_knows_all_that_stands_in_the_unit(tmp_path: Path) -> None:
    assert verified(tmp_path, TEXT) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("TimeoutStopSec=", "TimeoutStoppSec="),
        ("KillMode=mixed", "KillMode=mixt"),
        ("Type=exec", "Type=exek"),
        ("ProtectSystem=strict", "ProtectSystem=strickt"),
        ("RestartSec=2", "RestartSec=two"),
        ("[Service]", "[Servic]"),
        ("LoadCredential=", "LoadCredentail="),
        ("WorkingDirectory=/srv", "WorkingDirectory=srv"),
        ("@system-service", "@system-servic"),
    ],
)
def test_a_mistake_in_the_unit_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in TEXT
    assert verified(tmp_path, TEXT.replace(right, wrong)) != ""


def exposure(directory: Path, text: str) -> float:
    done = analyze(directory, text, "security", "--offline=yes", "--no-pager")
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])


def test_a_worker_may_do_little_beside_its_work(tmp_path: Path) -> None:
    assert exposure(tmp_path, TEXT) <= MOST_EXPOSED
    hardened = ("Protect", "Private", "Restrict", "SystemCall", "Capability", "NoNew", "DynamicUser")
    for taken in ("PrivateDevices=yes", "SystemCallFilter=~@privileged @resources", "ProtectProc=invisible"):
        assert taken in TEXT
        assert exposure(tmp_path, TEXT.replace(taken, "")) > MOST_EXPOSED
    bare = "\n".join(line for line in TEXT.splitlines() if not line.startswith(hardened))
    assert exposure(tmp_path, bare) > MOST_EXPOSED


def settings_of(text: str) -> dict[str, str]:
    """The keys of a unit or an environment file; the last of a name holds."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def faults_of(unit: str, environment: str) -> list[str]:
    """What is wrong with the unit that systemd cannot know."""
    said, variables = settings_of(unit), settings_of(environment)
    inline = dict(pair.split("=", 1) for pair in said["Environment"].split())
    faults = settings_faults({*variables, *inline})
    if float(said["TimeoutStopSec"]) < DRAIN:
        faults.append("it is killed before a pool has drained")
    if said["KillMode"] != "mixed":
        faults.append("every process is told to end twice, and ends at once")
    if said["Restart"] != "on-failure" or said["RestartPreventExitStatus"] != "2":
        faults.append("it is not started again when, and only when, that may help")
    if inline.get("CALLBOARD_URL_FILE") != f"%d/{said['LoadCredential'].partition(':')[0]}":
        faults.append("the URL is not looked for where it is")
    if "CALLBOARD_URL" in {*variables, *inline}:
        faults.append("the URL is seen in the environment")
    words = said["ExecStart"].replace("${APP}", variables.get("APP", "")).split()
    return faults + command_faults(words[1:])


def test_the_unit_fits_how_a_pool_starts_and_ends() -> None:
    assert faults_of(TEXT, ENVIRONMENT) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("TimeoutStopSec=130", "TimeoutStopSec=90"),
        ("KillMode=mixed", "KillMode=control-group"),
        ("RestartPreventExitStatus=2", "RestartPreventExitStatus=1"),
        ("%d/url", "%d/uri"),
        ("PYTHONUNBUFFERED=1", "CALLBOARD_UNBUFFERED=1"),
        ("callboard run ${APP}", "callboard runn ${APP}"),
        ("callboard run ${APP}", "callboard run ${APP} --procesess 2"),
        ("callboard run ${APP}", "callboard run"),
    ],
)
def test_a_unit_that_does_not_fit_is_seen(right: str, wrong: str) -> None:
    assert right in TEXT
    assert len(faults_of(TEXT.replace(right, wrong), ENVIRONMENT)) == 1


def test_a_variable_that_is_no_setting_is_seen_in_the_environment_file() -> None:
    assert len(faults_of(TEXT, ENVIRONMENT.replace("WORKSPACE", "WORKSPAC"))) == 1
    assert faults_of(TEXT, ENVIRONMENT + "CALLBOARD_URL=redis://h\n") == [
        "the URL is seen in the environment"
    ]
