"""Answers to the names of services, as an engine does: `python -m tests.deploy.names FILE`.

FILE holds, as JSON, the service of each container that runs and its address on each network. Whoever asks is
told the addresses on the networks it is on itself. It says "ready" when it can be asked.
"""

import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import NamedTuple

A, IN = 1, 1
ANSWER, UNKNOWN = 0x8580, 0x8583
"""An answer from who should know, and one that there is no such name."""

SHORTLY = 0
"""Seconds for which an answer holds: containers come and go."""

LOOKS_UP = 5.0
"""Seconds between two looks at whether the tests are still there."""


class Known(NamedTuple):
    """A container."""

    service: str
    addresses: dict[str, str]


def main() -> None:
    """Answer until it is killed, or whoever started it is gone."""
    file, parent = Path(sys.argv[1]), os.getppid()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("0.0.0.0", 53))  # noqa: S104 - of a network that nothing else is on
        line.settimeout(LOOKS_UP)
        print("ready", flush=True)  # noqa: T201 - that is how it tells
        while os.getppid() == parent:
            try:
                asked, asker = line.recvfrom(512)
            except TimeoutError:
                continue
            known = [Known(*each) for each in json.loads(file.read_text())]
            line.sendto(answered(asked, asker[0], known), asker)


def answered(asked: bytes, asker: str, known: list[Known]) -> bytes:
    """The answer to a question about one name."""
    end = asked.index(0, 12) + 5
    name, kind = name_in(asked), struct.unpack_from("!H", asked, end - 4)[0]
    theirs = {net for each in known if asker in each.addresses.values() for net in each.addresses}
    named = [each for each in known if each.service == name]
    found = [each.addresses[net] for each in named for net in sorted(theirs & each.addresses.keys())]
    told = found if kind == A else []
    verdict = struct.pack("!HHHHH", ANSWER if found else UNKNOWN, 1, len(told), 0, 0)
    records = [
        struct.pack("!HHHIH", 0xC00C, A, IN, SHORTLY, 4) + socket.inet_aton(address) for address in told
    ]
    return asked[:2] + verdict + asked[12:end] + b"".join(records)


def name_in(asked: bytes) -> str:
    """The name that is asked for, without a dot at its end."""
    parts, at = [], 12
    while length := asked[at]:
        parts.append(asked[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(parts).lower()


if __name__ == "__main__":
    main()
