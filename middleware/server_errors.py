"""Gives the errors of a server's client the names that callers know: unreachable, or refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - redis has errors of its own by these names
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    TimeoutError,  # noqa: A004 - as above
)

NOT_PERMITTED = (
    "the server does not permit this to its user: connect as a user with the role for it (worker, publisher, "
    "reader, operator), or permit it in the server's ACL file"
)

IN_A_SCRIPT = ("ACL failure in script", "The user executing the script can't")
"""By these words a server tells that a script's user may not do what it does; the second is Redis 7.0's."""


@contextmanager
def named_errors(
    unavailable: type[Exception], refused: type[Exception], place: str = "the server"
) -> Iterator[None]:
    """Turn the client's errors into one of two: no answer came in time, or the server will not do it.

    `place` is where the server is, for who reads that it cannot be reached.
    """
    try:
        yield
    except AuthenticationError as error:
        raise refused(
            f"the server does not let this user in ({error}): check its name and password"
        ) from error
    except NoPermissionError as error:
        raise refused(f"{NOT_PERMITTED} ({error})") from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise unavailable(
            f"{place} cannot be reached ({type(error).__name__}): "
            "see that it runs and that the address is right"
        ) from error
    except OutOfMemoryError as error:
        raise refused(
            "the server is full and takes nothing new in: let workers drain it, or raise its maxmemory "
            f"({error})"
        ) from error
    except RedisError as error:
        if any(words in str(error) for words in IN_A_SCRIPT):
            raise refused(f"{NOT_PERMITTED} ({error})") from error
        raise refused(f"the server refused it: {error}") from error
