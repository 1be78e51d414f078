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
    except LookupError as missing:
        parser.exit(1, f"{missing}\n")


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
    """Give a role a password beside the one that its file has; raises `FileNotFoundError`, `LookupError`."""
    password = directory / f"{role}.password"
    made = secrets.token_urlsafe(32)
    # The server's file first: whoever has the new password must find that it is known.
    _let_in(directory, role, [password.read_text("utf-8").strip(), made])
    _replace(password, made + "\n")


def retire(directory: Path, role: str) -> None:
    """Leave a role only the password that its file has; raises `FileNotFoundError`, `LookupError`."""
    _let_in(directory, role, [(directory / f"{role}.password").read_text("utf-8").strip()])


def _let_in(directory: Path, role: str, passwords: list[str]) -> None:
    file = directory / "users.acl"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    place = next((at for at, line in enumerate(lines) if line.split()[:2] == ["user", role]), None)
    if place is None:
        raise LookupError(f"{file} has no user {role}: nothing is changed")
    words = [word for word in lines[place].split() if not word.startswith("#")]
    # A server that wrote the file itself, by ACL SAVE, has left `resetpass` out.
    after = words.index("resetpass") + 1 if "resetpass" in words else len(words)
    words[after:after] = [f"#{_digest(password)}" for password in passwords]
    lines[place] = " ".join(words) + "\n"
    _replace(file, "".join(lines))


def _replace(path: Path, text: str) -> None:
    """Write a file anew, all of it or nothing; whose it is and who may read it stays."""
    made, before = path.with_name(f"{path.name}.new"), path.stat()
    with os.fdopen(os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    if (made.stat().st_uid, made.stat().st_gid) != (before.st_uid, before.st_gid):
        os.chown(made, before.st_uid, before.st_gid)
    made.chmod(before.st_mode & 0o777)
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
