"""Gives the errors of a server's client the names that callers know: unreachable, or refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - redis has errors of its own by these names
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    TimeoutError,  # noqa: A004
)


@contextmanager
def named_errors(
    unavailable: type[Exception], refused: type[Exception], place: str = "the server"
) -> Iterator[None]:
    """Turn the client's errors into one of two: no answer came in time, or the server will not do it.

    `place` is where the server is, for who reads that it cannot be reached.
    """
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise refused(f"the server does not permit it ({error}): check the user's ACL") from error
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
        raise refused(f"the server refused it: {error}") from error
