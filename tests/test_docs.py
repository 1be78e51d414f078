"""The documents keep their word: what they name is there."""

import ast
import inspect
import re
from itertools import takewhile
from pathlib import Path

import pytest

from callboard import BatchContext, Callboard, Context, MemoryMailbox, Retry
from callboard.actors.actor_options import ActorOptions, Said
from callboard.actors.mailbox import keys
from callboard.actors.publish_options import PublishOptions
from callboard.actors.settings import DEFAULTS
from callboard.cli.exits import MEANINGS
from callboard.cli.info import COLUMNS, HEADINGS
from callboard.cli.program import COMMANDS, run
from callboard.messages.codec import (
    MAX_ATTRIBUTE_NAME,
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
)
from callboard.messages.contract import LONGEST_RETENTION_MS, MAX_NAME_LENGTH
from callboard.messages.event import MAX_KEY_BYTES
from callboard.messages.event_options import OptionsGiven
from callboard.messages.timing import DAY_MS, MAX_AFTER_MS, duration_ms
from callboard.middleware.dedup.option import DEFAULT_WINDOW_MS
from callboard.middleware.options import DEFAULTS as POLICIES
from callboard.middleware.options import OptionsSaid
from callboard.middleware.timeout import LONGEST_TIMEOUT
from tests.documents import (
    NAMES,
    ROOT,
    anchors_of,
    code_of,
    links_of,
    program_in,
    read,
    rows_under,
)

KNOWN_HOSTS = {"example.org", "github.com", "keepachangelog.com", "semver.org"}
"""The hosts that a document may name; packages are fetched from none of them."""

# What is named is there.


def targets() -> set[str]:
    """The targets that the Makefile tells of in its help."""
    return set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    named = {target for code in code_of(name) for target in re.findall(r"\bmake ([a-z][a-z-]*)", code)}
    assert named <= targets()


def test_contributing_tells_every_make_target() -> None:
    told = {row[0].removeprefix("make ") for row in rows_under("CONTRIBUTING.md", "command")}
    assert told == targets()


def callboard_lines(name: str) -> list[list[str]]:
    """The words after `callboard` wherever a document shows the command."""
    return [code.split()[1:] for code in code_of(name) if re.match(r"(?:\S*/)?callboard\s+\S", code)]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_named_exists(name: str) -> None:
    assert [words for words in callboard_lines(name) if words[0] not in COMMANDS] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_option_that_a_document_shows_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [own_words(words) for words in callboard_lines(name) if words[0] in COMMANDS]
    shown = {(*command_in(words, capsys), word) for words in lines for word in words if word.startswith("--")}
    assert name not in {"README.md", "docs/running.md"} or len(shown) > 3
    for *command, option in sorted(shown):
        assert run([*command, "--help"]) == 0
        assert re.search(rf"│.* {option} ", capsys.readouterr().out), (*command, option)


def own_words(words: list[str]) -> list[str]:
    """The words of a line up to where another command begins."""
    return list(takewhile(lambda word: not word.strip('"').startswith(("$(", "|", "&&")), words))


def command_in(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The command that a line calls: with its subcommand, where it has any."""
    assert run([words[0], "--help"]) == 0
    has_others = f"callboard {words[0]} COMMAND" in capsys.readouterr().out
    return words[:2] if has_others and words[1:2] and words[1].isalpha() else words[:1]


def test_the_reference_tells_every_command_in_its_own_words() -> None:
    told = {row[0].removeprefix("callboard "): row[1] for row in rows_under("docs/reference.md", "command")}
    assert told == COMMANDS


def test_the_reference_tells_the_exit_codes() -> None:
    told = {int(row[0]): row[1] for row in rows_under("docs/reference.md", "exit code")}
    assert told == {code.value: meaning for code, meaning in MEANINGS.items()}


def test_the_reference_tells_every_setting_and_its_default() -> None:
    rows = rows_under("docs/reference.md", "constructor")
    parameters = inspect.signature(Callboard).parameters
    assert [row[0] for row in rows] == [name for name in parameters if name != "name"]
    elsewhere = {row[0]: row[1:3] for row in rows if row[1] or row[2]}
    assert elsewhere == {name: [f"CALLBOARD_{name.upper()}", name] for name in DEFAULTS}
    told = {row[0]: row[3] for row in rows}
    defaults = {name: DEFAULTS.get(name) or parameters[name].default for name in told}
    known = {name: str(value) for name, value in defaults.items() if isinstance(value, str | int)}
    assert {name: told[name] for name in known} == known
    assert len(known) == 10
    assert POLICIES.retry == Retry.exponential()
    assert POLICIES.timeout == duration_ms(told["timeout"]) / 1000
    assert duration_ms(told["longest_timeout"]) / 1000 == LONGEST_TIMEOUT


def test_the_architecture_tells_every_key_of_the_server() -> None:
    rows = rows_under("docs/architecture.md", "key")
    told = [row[0].replace("`", "").partition(" + ")[0] for row in rows]
    tables = (keys.OF_WORKSPACE, keys.OF_QUEUE, keys.OF_LANE, keys.OF_KIND, keys.OF_OTHERS)
    parts = [part for table in tables for part in table.values()]
    assert sorted(told) == sorted(parts)


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_of_an_app_or_a_context_that_is_named_exists(name: str) -> None:
    app = Callboard("docs", mailbox=MemoryMailbox())
    known = {"app": dir(app), "ctx": [*dir(Context), *dir(BatchContext)]}
    code = "\n".join([*code_of(name), program_in(name)])
    named = set(re.findall(r"(?<![\w/.:])(app|ctx)\.(\w+)", code)) - {("app", "py")}
    assert [(owner, attribute) for owner, attribute in named if attribute not in known[owner]] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_exists(name: str) -> None:
    is_path = re.compile(r"[\w.-]+(/[\w.-]+)*(/|/[\w-]+\.(py|lua|md))")
    paths = {code for code in code_of(name) if is_path.fullmatch(code)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    for link in links_of(name):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert target.resolve().is_relative_to(ROOT), link
        assert not anchor or anchor in anchors_of(target.read_text("utf-8")), link


LIMITS = {
    "bytes of an event with its metadata": MAX_EVENT_BYTES,
    # The envelope around it is one more.
    "levels that a body is nested": MAX_DEPTH - 1,
    "characters of a contract's name": MAX_NAME_LENGTH,
    "bytes of a key": MAX_KEY_BYTES,
    "attributes of an event": MAX_ATTRIBUTES,
    "characters of an attribute's name": MAX_ATTRIBUTE_NAME,
    "characters of an attribute's value": MAX_ATTRIBUTE_VALUE,
    "days that `retention=` keeps records": LONGEST_RETENTION_MS // DAY_MS,
    "days that `after=` lies ahead": MAX_AFTER_MS // DAY_MS,
}


def test_the_guide_to_contracts_tells_the_limits_of_the_code() -> None:
    rows = rows_under("docs/contracts.md", "limit")
    assert {row[0]: int(row[1].replace(",", "")) for row in rows} == LIMITS


# What is not to be named.


def hosts_in(text: str) -> set[str]:
    """The hosts of a text's URLs, and whatever else in it looks like one."""
    urls = re.findall(r"\bhttps?://([\w.-]+)", text)
    return {*urls, *re.findall(r"(?<![\w/.-])(?:[a-z0-9-]+\.)+(?:org|com|net|io|dev|sh)\b", text)}


@pytest.mark.parametrize("name", NAMES)
def test_a_document_names_only_hosts_that_are_known(name: str) -> None:
    assert hosts_in(read(name)) <= KNOWN_HOSTS


PAGES = ("/metrics", "/livez", "/readyz")

DEPLOYED = ("/app", "/venv", "/tmp", "/etc/callboard/", "/etc/systemd/system/")  # noqa: S108 - named, not used
"""How the paths begin that are not of a machine: they are of an image, or where a unit looks."""


def paths_of_a_machine(text: str) -> list[str]:
    """The absolute paths in a text, but for those of the exporter's pages."""
    found = re.findall(r"(?:^|[\s`\"'(=])((?:~|[A-Z]:)?[/\\]\w[^\s`\"')]*)", text, re.MULTILINE)
    return [path for path in found if path not in PAGES and not path.startswith(DEPLOYED)]


@pytest.mark.parametrize("name", NAMES)
def test_a_document_names_no_path_of_a_machine(name: str) -> None:
    assert paths_of_a_machine(read(name)) == []


def test_hosts_and_paths_would_be_seen() -> None:
    text = "see https://host.example/x and packages.example.net, in `/srv/shop` or =~/notes but not docs/a.md"
    assert hosts_in(text) == {"host.example", "packages.example.net"}
    assert paths_of_a_machine(text) == ["/srv/shop", "~/notes"]
    assert paths_of_a_machine("shop.py and/or unix:///run/x.sock") == []


def test_the_readme_keeps_a_place_for_the_benchmark() -> None:
    assert re.search(r"<!-- bench:begin -->\n.+\n<!-- bench:end -->", read("README.md"), re.DOTALL)


# The promises.


def test_every_test_that_a_promise_names_exists() -> None:
    rows = rows_under("docs/promises.md", "promise")
    assert [row[0] for row in rows] == [f"I{number}" for number in range(1, 19)]
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read("docs/promises.md")))
    assert len(named) > len(rows)
    assert [(path, name) for path, name in sorted(named) if name not in defined_in(ROOT / path)] == []


def defined_in(path: Path) -> set[str]:
    """The tests that a file defines, as pytest would find them."""
    found = ast.parse(path.read_text("utf-8")).body
    return {
        each.name for each in found if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }


# The options.


def test_the_table_of_options_has_each_and_says_its_default_and_its_places() -> None:
    rows = rows_under("docs/policies.md", "option")
    told = {name.strip("` "): row for row in rows for name in row[0].split(",")}
    said_at = {
        "app": {*inspect.signature(Callboard).parameters},
        "queue": {*OptionsSaid.__annotations__},
        "actor": {*ActorOptions.__annotations__},
        "publish": {*PublishOptions.__annotations__},
        "contract": {"window", "retention", "dedup"},
    }
    about_deliveries = {*OptionsSaid.__annotations__, *OptionsGiven.__annotations__, "longest_timeout"}
    about_deliveries |= {*ActorOptions.__annotations__} - {"name", "queue"}
    assert about_deliveries <= set(told)
    for name, row in told.items():
        places = set(re.findall(r"(?<![@.\w])\w+\b(?!\.)", row[2]))
        for place, options in said_at.items():
            assert (name in options) == (place in places), (name, place, row[2])
    assert duration_ms(told["timeout"][1]) / 1000 == POLICIES.timeout
    assert duration_ms(told["longest_timeout"][1]) / 1000 == LONGEST_TIMEOUT
    assert told["retry"][1] == "Retry.exponential()"
    assert duration_ms(told["window"][1]) == DEFAULT_WINDOW_MS
    assert [told[name][1] for name in ("ordered", "priority")] == [str(Said().ordered), str(Said().priority)]
    assert POLICIES.discard == ()
    assert Said().concurrency is None


def test_each_figure_that_info_shows_of_a_queue_is_explained() -> None:
    told = {
        name.strip("` ") for row in rows_under("docs/running.md", "heading") for name in row[0].split(",")
    }
    assert told == {HEADINGS.get(column, column) for column in COLUMNS}
