"""Settings come from code, the environment, callboard.toml and the defaults, in this order."""

from pathlib import Path
from typing import Any

import pytest
from rich.pretty import pretty_repr

from callboard.actors.server_url import redact_url
from callboard.actors.settings import Settings, load_settings
from callboard.messages.errors import ConfigurationError

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for


def faults_of(directory: Path, environ: dict[str, str] | None = None, **given: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ=environ or {}, directory=directory, **given)
    assert SECRET not in str(caught.value)
    return caught.value.faults


def the_fault_of(directory: Path, environ: dict[str, str] | None = None, **given: Any) -> str:
    faults = faults_of(directory, environ, **given)
    assert len(faults) == 1, faults
    return faults[0]


def write(directory: Path, text: str) -> None:
    (directory / "callboard.toml").write_text(text, "utf-8")


def test_without_anything_given_the_server_is_the_embedded_one_in_the_working_directory(
    tmp_path: Path,
) -> None:
    assert load_settings(environ={}, directory=tmp_path) == Settings(
        url=None, home=tmp_path / ".callboard", workspace="default", metrics="127.0.0.1:9191"
    )


def test_what_is_given_in_code_goes_before_the_environment_the_file_and_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, 'workspace = "file"\nurl = "redis://file"\nhome = "file"')
    environ = {"CALLBOARD_URL": "redis://environment", "CALLBOARD_HOME": "environment", "PATH": "/bin"}
    assert load_settings(home="code", environ=environ, directory=tmp_path) == Settings(
        url="redis://environment", home=tmp_path / "code", workspace="file", metrics="127.0.0.1:9191"
    )


def test_the_environment_and_the_working_directory_are_those_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLBOARD_WORKSPACE", "dev-ann")
    settings = load_settings()
    assert (settings.workspace, settings.home) == ("dev-ann", tmp_path / ".callboard")


def test_an_absolute_home_stays_as_it_is(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert load_settings(home=elsewhere, environ={}, directory=tmp_path / "here").home == elsewhere


def test_the_word_none_switches_metrics_off(tmp_path: Path) -> None:
    assert load_settings(environ={"CALLBOARD_METRICS": "none"}, directory=tmp_path).metrics is None


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:9191", "metrics.internal:65535"])
def test_an_address_for_metrics_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    assert load_settings(metrics=address, environ={}, directory=tmp_path).metrics == address


@pytest.mark.parametrize(
    "address", [":9191", "127.0.0.1", "host:65536", "::1:9191", "http://host:1", "a b:1"]
)
def test_other_addresses_for_metrics_are_refused(tmp_path: Path, address: str) -> None:
    assert "host:port" in the_fault_of(tmp_path, metrics=address)


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://u:p@h", "rediss://u:p@h"),
        ("valkey://h", "redis://h"),
        ("VALKEYS://h?db=1", "rediss://h?db=1"),
        ("unix:///run/a.sock", "unix:///run/a.sock"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_a_url_is_turned_into_one_that_the_client_reads(tmp_path: Path, given: str, understood: str) -> None:
    assert load_settings(url=given, environ={}, directory=tmp_path).url == understood


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"http://:{SECRET}@h", "begins with redis://"),
        (SECRET, "begins with redis://"),
        (f"redis://:{SECRET}#1@h", "percent-encode"),
        (f"redis://:1#{SECRET}@h", "%23"),
        (f"redis://:{SECRET}/x@h:6379", "percent-encode"),
        (f"redis://:1/{SECRET}@h:6379", "names no host"),
        (f"redis://u:{SECRET}@h:port", "percent-encode"),
        (f"redis://u:{SECRET}@[h", "percent-encode"),
        ("redis://localhost:99999", "write redis://host:6379, with a port of 65535 at most"),
        ("redis://localhost:port", "write redis://host:6379"),
        (f"redis://u:{SECRET}@h/first", "no database's number"),
        (f"redis://u:{SECRET}@h\n", "blanks"),
        ("unix://run/a.sock", "three slashes"),
        ("unix://", "three slashes"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_telling_its_password(
    tmp_path: Path, url: str, told: str
) -> None:
    assert told in the_fault_of(tmp_path, {"CALLBOARD_URL": url})


@pytest.mark.parametrize("name", ["production", "dev-ann", "0", "a" * 63])
def test_a_workspace_has_a_plain_name(tmp_path: Path, name: str) -> None:
    assert load_settings(workspace=name, environ={}, directory=tmp_path).workspace == name


@pytest.mark.parametrize("name", ["Dev", "-a", "a" * 64, "a:b", "a}b", "a\n", "ä"])
def test_other_names_of_a_workspace_are_refused(tmp_path: Path, name: str) -> None:
    assert "is no name of a workspace" in the_fault_of(tmp_path, workspace=name)


def test_an_unknown_variable_is_refused_and_the_nearest_named(tmp_path: Path) -> None:
    assert "did you mean CALLBOARD_URL?" in the_fault_of(tmp_path, {"CALLBOARD_ULR": "redis://h"})
    assert "there are CALLBOARD_URL, CALLBOARD_HOME" in the_fault_of(tmp_path, {"CALLBOARD_XYZZY": SECRET})


def test_an_unknown_key_in_the_file_is_refused_and_the_nearest_named(tmp_path: Path) -> None:
    write(tmp_path, f'workspce = "{SECRET}"')
    assert "did you mean workspace?" in the_fault_of(tmp_path)


@pytest.mark.parametrize("value", ["1", "true", '["a"]', "1979-05-27", "{a = 1}"])
@pytest.mark.parametrize("key", ["url", "home", "workspace", "metrics"])
def test_a_value_in_the_file_that_is_no_text_is_refused(tmp_path: Path, key: str, value: str) -> None:
    write(tmp_path, f"{key} = {value}")
    assert f"callboard.toml: {key} is of the type" in the_fault_of(tmp_path)


def test_a_file_that_is_no_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    write(tmp_path, f'workspace = "a"\nurl = redis://:{SECRET}@h')
    assert "at line 2" in the_fault_of(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "callboard.toml").write_bytes(b'workspace = "\xff"')
    assert "is not UTF-8" in the_fault_of(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "callboard.toml").mkdir()
    assert "cannot be read (Is a directory)" in the_fault_of(tmp_path)


def test_an_empty_value_counts_as_given_and_is_refused(tmp_path: Path) -> None:
    environ = {"CALLBOARD_URL": "", "CALLBOARD_HOME": "", "CALLBOARD_WORKSPACE": "", "CALLBOARD_METRICS": ""}
    faults = faults_of(tmp_path, environ)
    assert [fault.split(" is empty")[0] for fault in faults] == list(environ)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, 'hom = "x"\nworkspace = 1')
    environ = {"CALLBOARD_METRIC": "x", "CALLBOARD_METRICS": "x", "CALLBOARD_URL": f"amqp://:{SECRET}@h"}
    faults = "\n".join(faults_of(tmp_path, environ, home=""))
    wanted = ["did you mean home?", "workspace is of the type int", "CALLBOARD_METRIC is not a setting"]
    wanted += ["CALLBOARD_METRICS: 'x' is no address", "begins with redis://", "home is empty"]
    assert [told for told in wanted if told not in faults] == []


def test_a_fault_in_what_is_overruled_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path, 'workspace = "No Good"')
    assert load_settings(workspace="good", environ={}, directory=tmp_path).workspace == "good"


def test_settings_show_no_password_however_they_are_shown(tmp_path: Path) -> None:
    settings = load_settings(url=f"redis://u:{SECRET}@h/1?password={SECRET}", environ={}, directory=tmp_path)
    for shown in (repr(settings), str(settings), f"{settings}", pretty_repr(settings)):
        assert SECRET not in shown
        assert "redis://u:***@h/1?password=***" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://u:p@h:1", "redis://u:***@h:1"),
        ("redis://token@h", "redis://***@h"),
        ("redis://:a@b@h", "redis://:***@h"),
        ("unix:///a.sock?db=1&password=p", "unix:///a.sock?db=1&password=***"),
        ("redis://h?ssl_password=p&protocol=3", "redis://h?ssl_password=***&protocol=3"),
        ("redis://:p/q@h", "redis://***"),
        ("redis://:1?q@h", "redis://***"),
        ("redis://:1#q", "redis://***"),
        ("redis://u:p", "redis://***"),
        ("redis://:12345", "redis://***"),
        ("secret", "***"),
        ("", "***"),
    ],
)
def test_a_redacted_url_holds_nothing_that_could_be_secret(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize("service", ["CALLBOARD", "CALLBOARD_METRICS", "CALLBOARD_VALKEY_2"])
def test_what_kubernetes_tells_of_a_service_of_our_name_is_no_setting(tmp_path: Path, service: str) -> None:
    told = {
        f"{service}_SERVICE_HOST": "10.0.0.11",
        f"{service}_SERVICE_PORT": "6379",
        f"{service}_SERVICE_PORT_VALKEY": "6379",
        f"{service}_PORT": "tcp://10.0.0.11:6379",
        f"{service}_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        f"{service}_PORT_6379_TCP_PROTO": "tcp",
        f"{service}_PORT_6379_TCP_PORT": "6379",
        f"{service}_PORT_6379_TCP_ADDR": "10.0.0.11",
    }
    assert load_settings(environ=told, directory=tmp_path) == load_settings(environ={}, directory=tmp_path)


@pytest.mark.parametrize(
    "name", ["CALLBOARD_PORT", "CALLBOARD_HOST", "CALLBOARD_SERVICE", "CALLBOARD_PORT_6379", "CALLBOARD_URL_"]
)
def test_what_kubernetes_would_not_tell_is_refused_as_any_unknown_variable(tmp_path: Path, name: str) -> None:
    assert "is not a setting" in the_fault_of(tmp_path, {name: "6379"})


def test_the_faults_of_the_caller_are_told_together_with_those_of_the_settings(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, workspace="No Such", other_faults=["lease is wrong"])
    assert len(faults) == 2
    assert faults[1] == "lease is wrong"


@pytest.mark.parametrize(
    ("given", "is_forced"), [("true", True), ("false", False), ("1", None), ("", None), ("yes", None)]
)
def test_force_is_true_or_false(tmp_path: Path, given: str, is_forced: bool | None) -> None:
    environ = {"CALLBOARD_FORCE": given}
    if is_forced is None:
        assert the_fault_of(tmp_path, environ) == "CALLBOARD_FORCE must be true or false"
    else:
        assert load_settings(environ=environ, directory=tmp_path).force is is_forced


def test_force_of_the_file_is_a_boolean_and_code_goes_before_it(tmp_path: Path) -> None:
    write(tmp_path, "force = true")
    assert load_settings(environ={}, directory=tmp_path).force
    assert not load_settings(environ={}, directory=tmp_path, force=False).force
    write(tmp_path, "force = 1")
    assert the_fault_of(tmp_path).endswith("force must be true or false")
