"""What handlers are given by type: made once in each worker process, closed when it stops."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

from ..messages.errors import ConfigurationError

T = TypeVar("T")

Factory = Callable[[], T | AbstractContextManager[T]]
"""Makes a resource; a context manager is entered, and left when the worker stops."""


class Resources:
    """Factories by type, and what they made. Safe to use from many threads."""

    def __init__(self) -> None:
        self._factories: dict[type[Any], Factory[Any]] = {}
        self._made: dict[type[Any], Any] = {}
        self._closing = ExitStack()
        self._lock = threading.RLock()

    def provide(self, kind: type[T], factory: Factory[T]) -> None:
        """Say how a resource is made; raises `ConfigurationError` when that was said before."""
        if kind in self._factories:
            raise ConfigurationError(f"{kind.__qualname__} is provided twice: keep one app.provide() of it")
        self._factories[kind] = factory

    def put(self, kind: type[T], made: T) -> None:
        """Hand in a resource that was made elsewhere, and is closed there."""
        self._factories[kind] = lambda: made
        self._made[kind] = made

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Begin without what was made; at the end close what was made meanwhile, and have all as it was."""
        before = self._factories.copy(), self._made, self._closing
        self._made, self._closing = {}, ExitStack()
        try:
            yield
        finally:
            try:
                self.close()
            finally:
                self._factories, self._made, self._closing = before

    def knows(self, kind: type[Any]) -> bool:
        """Whether a resource of this type is provided."""
        return kind in self._factories

    def get(self, kind: type[T]) -> T:
        """The resource of this process, made when it is asked for first."""
        try:
            made: T = self._made[kind]
        except KeyError:
            made = self._make(kind)
        return made

    def close(self) -> None:
        """Close what was made, the latest first, by its context manager or its `close`."""
        with self._lock:
            self._made.clear()
            closing, self._closing = self._closing, ExitStack()
        closing.close()

    def _make(self, kind: type[T]) -> T:
        with self._lock:
            if kind not in self._made:
                made = self._factories[kind]()
                if isinstance(made, AbstractContextManager):
                    made = self._closing.enter_context(made)
                elif callable(close := getattr(made, "close", None)):
                    self._closing.callback(close)
                self._made[kind] = made
            found: T = self._made[kind]
            return found
