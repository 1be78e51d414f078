"""`make picture`: draws docs/info.svg, what `callboard info --watch` shows of a run of the demo."""

import re
import threading
import time
from contextlib import closing
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from callboard.cli.pace import Course, Look
from callboard.cli.watched import watched
from callboard.cli.watching import EVERY
from callboard.demo.plan import make_plan
from callboard.demo.play import Play, stage

PICTURE = Path(__file__).with_name("info.svg")
WIDTH = 100
EVENTS = 3000
LOOKS = 6
"""After so many, since the first order was placed, the picture is drawn: the shop has much to do by then."""


def main() -> None:
    """Play the demo, watch it meanwhile, and keep what was seen."""
    seen = Console(file=StringIO(), width=WIDTH, record=True)
    with stage(None) as home:
        shop = Play(home, make_plan(EVENTS, 1), workers=2, kill=False, show=_nothing, tell=_nothing)
        with closing(shop):
            watching = threading.Thread(target=_watch, args=(shop, seen))
            watching.start()
            shop.run()
            watching.join()
    # Without the fonts that it would fetch from elsewhere: whoever looks has one.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    PICTURE.write_text(
        seen.export_svg(title="callboard info --watch", code_format=form, unique_id="info"), "utf-8"
    )


def _watch(shop: Play, seen: Console) -> None:
    course = Course()
    looks = 0
    while looks < LOOKS:
        time.sleep(EVERY)
        look = Look.at(shop.mailbox)
        if look.info.queues:
            course.add(look)
            looks += 1
    seen.print(watched(course, ".callboard", WIDTH))


def _nothing(_: object) -> None:
    """What the demo would show is not looked at."""


if __name__ == "__main__":
    main()
