"""`python deploy/redis/users.py DIRECTORY`: writes an ACL file for a server, and a password for each role.

The roles are those of `users.acl` beside this file, in which nobody has a password, so nobody can log in.
DIRECTORY gets `users.acl` for the server (hashes only), and `worker.password`, `publisher.password` and so on
for those who connect. `--workspace NAME` confines the roles to that workspace ("default" if it is not said).
It needs nothing but Python, and overwrites nothing.

A new password without an interruption: `--renew worker` makes one beside the one that the role has, and both
are good once the server has read `users.acl` again. When all who connect have the new one, `--retire worker`
leaves only that.
"""

import argparse
import errno
import hashlib
import os
import re
import secrets
from pathlib import Path

TEMPLATE = Path(__file__).with_name("users.acl")


def main() -> None:
    """Write the files; ends with 1 when they are there already, or not there to be changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    roles = roles_in(TEMPLATE.read_text("utf-8"))
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("--workspace", default="default", metavar="NAME")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--renew", choices=roles, metavar="ROLE")
    change.add_argument("--retire", choices=roles, metavar="ROLE")
    asked = parser.parse_args()
    try:
        if asked.renew:
            renew(asked.directory, asked.renew)
        elif asked.retire:
            retire(asked.directory, asked.retire)
        else:
            begin(asked.directory, roles, asked.workspace)
    except FileExistsError as there:
        parser.exit(1, f"{there.filename} is there already: move it away, or name another directory\n")
    except FileNotFoundError as missing:
        parser.exit(1, f"{missing.filename} is not there: make it first, without --renew and --retire\n")


def begin(directory: Path, roles: list[str], workspace: str) -> None:
    """Write the file for the server, and a password for each role; raises `FileExistsError`."""
    passwords = {role: secrets.token_urlsafe(32) for role in roles}
    files = {directory / f"{role}.password": password + "\n" for role, password in passwords.items()}
    files[directory / "users.acl"] = users(TEMPLATE.read_text("utf-8"), passwords, workspace)
    for path in files:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)


def renew(directory: Path, role: str) -> None:
    """Give a role a password beside the one that its file has; raises `FileNotFoundError`."""
    password = directory / f"{role}.password"
    made = secrets.token_urlsafe(32)
    # The server's file first: whoever has the new password must find that it is known.
    _let_in(directory, role, [password.read_text("utf-8").strip(), made])
    _replace(password, made + "\n")


def retire(directory: Path, role: str) -> None:
    """Leave a role only the password that its file has; raises `FileNotFoundError`."""
    _let_in(directory, role, [(directory / f"{role}.password").read_text("utf-8").strip()])


def _let_in(directory: Path, role: str, passwords: list[str]) -> None:
    file = directory / "users.acl"
    hashes = "".join(f"#{_digest(password)} " for password in passwords)
    line = re.compile(rf"^(user {role} on resetpass )(?:#[0-9a-f]{{64}} )*", re.MULTILINE)
    _replace(file, line.sub(rf"\g<1>{hashes}", file.read_text("utf-8")))


def _replace(path: Path, text: str) -> None:
    """Write a file anew, all of it or nothing; who may read it stays."""
    made = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    made.chmod(path.stat().st_mode & 0o777)
    made.replace(path)


def roles_in(template: str) -> list[str]:
    """The users that may log in once they have a password."""
    return re.findall(r"^user (\S+) on ", template, re.MULTILINE)


def users(template: str, passwords: dict[str, str], workspace: str) -> str:
    """The ACL file with the hash of each role's password, for one workspace or, as `*`, for all."""
    for role, password in passwords.items():
        template = template.replace(
            f"user {role} on resetpass ", f"user {role} on resetpass #{_digest(password)} "
        )
    return template.replace("callboard:{default}:", f"callboard:{{{workspace}}}:")


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


if __name__ == "__main__":
    main()
