"""`python deploy/redis/users.py DIRECTORY`: writes an ACL file for a server, and a password for each role.

The roles are those of `users.acl` beside this file, in which nobody has a password, so nobody can log in.
DIRECTORY gets `users.acl` for the server (hashes only), and `worker.password`, `publisher.password` and so on
for those who connect. `--workspace NAME` confines the roles to that workspace ("default" if it is not said).
It needs nothing but Python, and overwrites nothing.
"""

import argparse
import hashlib
import os
import re
import secrets
from pathlib import Path

TEMPLATE = Path(__file__).with_name("users.acl")


def main() -> None:
    """Write the files; ends with 1 when one is there already."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("--workspace", default="default")
    asked = parser.parse_args()
    passwords = {role: secrets.token_urlsafe(32) for role in roles_in(TEMPLATE.read_text("utf-8"))}
    files = {f"{role}.password": password + "\n" for role, password in passwords.items()}
    files["users.acl"] = users(TEMPLATE.read_text("utf-8"), passwords, asked.workspace)
    if there := [name for name in files if (asked.directory / name).exists()]:
        parser.exit(
            1, f"{asked.directory} has {', '.join(there)} already: move it away, or name another directory\n"
        )
    asked.directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with os.fdopen(
            os.open(asked.directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w"
        ) as file:
            file.write(text)


def roles_in(template: str) -> list[str]:
    """The users that may log in once they have a password."""
    return re.findall(r"^user (\S+) on ", template, re.MULTILINE)


def users(template: str, passwords: dict[str, str], workspace: str) -> str:
    """The ACL file with the hash of each role's password, for one workspace or, as `*`, for all."""
    for role, password in passwords.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        template = template.replace(f"user {role} on resetpass ", f"user {role} on resetpass #{digest} ")
    return template.replace("callboard:{default}:", f"callboard:{{{workspace}}}:")


if __name__ == "__main__":
    main()
