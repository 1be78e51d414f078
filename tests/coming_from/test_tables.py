"""The tables of docs/coming-from.md have a line for each test here, and a test for each line."""

import ast
import re
from pathlib import Path

import pytest

from tests.documents import read, rows_under

HERE = Path(__file__).parent
TABLES = {"VTEX IO": "vtex_io", "pg-boss": "pg_boss", "Pub/Sub": "pub_sub", "Ampt": "ampt"}


def named_in(module: str) -> list[str]:
    """The tests of a system, in their order."""
    body = ast.parse((HERE / f"test_{module}.py").read_text("utf-8")).body
    return [each.name for each in body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")]


@pytest.mark.parametrize("system", TABLES)
def test_each_line_has_its_test_and_each_test_its_line(system: str) -> None:
    rows = rows_under("docs/coming-from.md", system)
    assert [row[-1] for row in rows] == named_in(TABLES[system])
    assert {len(row) for row in rows} == {3}


def test_each_table_is_held_against_a_file_of_tests() -> None:
    headings = re.findall(r"^\| (.+?) \| here \| shown by \|$", read("docs/coming-from.md"), re.MULTILINE)
    assert headings == list(TABLES)
    files = {path.stem.removeprefix("test_") for path in HERE.glob("test_*.py")}
    assert files == {*TABLES.values(), "tables"}
