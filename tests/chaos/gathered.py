"""The lines of a history as the values that the checker reads."""

from collections.abc import Iterable, Iterator
from typing import Any

from .observed import Disturbance, Publish, Stall

ANSWERS = ("ok", "fail", "unknown")


def publishes(lines: Iterable[dict[str, Any]]) -> Iterator[Publish]:
    """What was published; nobody knows what became of a publish whose publisher was killed."""
    asked: dict[str, dict[str, Any]] = {}
    answered: dict[str, str] = {}
    for line in lines:
        if line["what"] == "invoke":
            asked[line["token"]] = line
        elif line["what"] in ANSWERS:
            answered[line["token"]] = line["what"]
    for token, line in asked.items():
        answer: Any = answered.get(token, "unknown")
        yield Publish(token, line["event"], answer, line["at"], line["after_ms"] / 1000)


def disturbances(lines: Iterable[dict[str, Any]], stalls: Iterable[Stall]) -> Iterator[Disturbance]:
    """What disturbed workers: the faults made, and the times when the machine did not run them."""
    for line in lines:
        if line["what"] == "fault":
            yield Disturbance(line["kind"], line["member"], line["start"], line["end"])
    for stall in stalls:
        yield Disturbance("stall", stall.member, stall.start, stall.end)
