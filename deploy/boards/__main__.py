"""`make boards`: writes the dashboards and the rules that are made from this folder."""

import sys

from .made import DEPLOY, made

for path, text in made():
    path.write_text(text, "utf-8")
    sys.stdout.write(f"{path.relative_to(DEPLOY.parent)}\n")
