"""The lines of a history as the values that the checker reads."""

from collections.abc import Iterable, Iterator
from typing import Any

from .observed import Disturbance, Publish, Stall

ANSWERS = ("ok", "fail", "unknown")


def publishes(lines: Iterable[dict[str, Any]]) -> Iterator[Publish]:
    """What was published; nobody knows what became of a publish whose publisher was killed."""
    asked: dict[str, str] = {}
    answered: dict[str, str] = {}
    for line in lines:
        if line["what"] == "invoke":
            asked[line["token"]] = line["event"]
        elif line["what"] in ANSWERS:
            answered[line["token"]] = line["what"]
    for token, event in asked.items():
        yield Publish(token, event, answered.get(token, "unknown"))  # type: ignore[arg-type]  # one of ANSWERS


def disturbances(lines: Iterable[dict[str, Any]], stalls: Iterable[Stall]) -> Iterator[Disturbance]:
    """What disturbed workers: the faults made, and the times when the machine did not run them."""
    for line in lines:
        if line["what"] == "fault":
            yield Disturbance(line["kind"], line["member"], line["start"], line["end"])
    for stall in stalls:
        yield Disturbance("stall", stall.member, stall.start, stall.end)
