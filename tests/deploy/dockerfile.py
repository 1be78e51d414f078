"""Reads a Dockerfile: its stages, and what stands in each."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from tests.deploy.facts import DEPLOY

DOCKERFILE = DEPLOY / "container/Dockerfile"


class Instruction(NamedTuple):
    """One instruction, its lines put together."""

    word: str
    options: dict[str, str]
    """What stands as `--name=value` before the rest."""
    rest: str

    @property
    def words(self) -> list[str] | None:
        """The list that it gives in the exec form; None in the shell form."""
        try:
            listed: list[str] = json.loads(self.rest)
        except ValueError:
            return None
        return listed


class Stage(NamedTuple):
    """What one image of a Dockerfile is made by."""

    base: str
    name: str | None
    instructions: list[Instruction]

    def last(self, word: str) -> Instruction:
        """The one of this word that holds."""
        return [each for each in self.instructions if each.word == word][-1]

    def environment(self, path: str) -> dict[str, str]:
        """What it sets for all that runs in it, on a base with this `PATH`."""
        said = " ".join(each.rest for each in self.instructions if each.word == "ENV")
        pairs = (pair.split("=", 1) for pair in said.split())
        return {name: value.replace("$PATH", path) for name, value in pairs}


def stages_of(text: str) -> list[Stage]:
    """The stages of a Dockerfile, the last of which is the image."""
    stages: list[Stage] = []
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        options = dict(re.findall(r"--([a-z-]+)=(\S+)\s", rest))
        rest = re.sub(r"^(?:--[a-z-]+=\S+\s+)*", "", rest).strip()
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name or None, []))
        else:
            stages[-1].instructions.append(Instruction(word, options, rest))
    return stages


def context_of(root: Path) -> list[Path]:
    """The files and links below a directory that its .dockerignore lets an engine see, relative to it."""
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    seen: list[Path] = []
    pending = sorted(root.iterdir())
    while pending:
        path = pending.pop()
        relative = path.relative_to(root)
        if _ignored(relative, patterns):
            continue
        if path.is_dir() and not path.is_symlink():
            pending += path.iterdir()
        else:
            seen.append(relative)
    return sorted(seen)


def _ignored(path: Path, patterns: list[str]) -> bool:
    """Whether the last pattern that is for a path or a directory above it takes it away."""
    ignored = False
    above = [part.as_posix() for part in (path, *path.parents)]
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        anywhere = wanted.removeprefix("**/")
        if any(fnmatch(each, wanted) or (anywhere != wanted and fnmatch(each, anywhere)) for each in above):
            ignored = not pattern.startswith("!")
    return ignored
