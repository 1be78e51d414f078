"""Whether and how events and attempts are traced with OpenTelemetry, which need not be there."""

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from .spans import Spans

TRACE_ID = slice(3, 35)
"""Where the trace id stands in a W3C traceparent."""


class Tracing:
    """How an app's events are traced.

    Parameters:
        provider: OpenTelemetry's tracer provider; the one that the program has configured if None, and no
            traces as long as it has configured none.
        link: let each attempt begin a trace of its own, linked to where its event was published, in place of
            going on with that trace.
    """

    def __init__(self, provider: "TracerProvider | None" = None, *, link: bool = False) -> None:
        self._provider = provider
        self._link = link
        self._spans: Spans | None = None

    def spans(self) -> "Spans | None":
        """What begins spans; None while no tracer provider is configured."""
        if self._spans is None and (self._provider is not None or _is_configured()):
            self._spans = self._made()
        return self._spans

    def _made(self) -> "Spans | None":
        from opentelemetry import trace  # noqa: PLC0415 - it may not be installed; who configures it has it

        from .spans import Spans  # noqa: PLC0415 - as above

        provider = self._provider or trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            return None
        return Spans(provider.get_tracer("callboard", version("callboard")), link=self._link)


def _is_configured() -> bool:
    """Whether there may be a provider; told in 0.1 µs, for every publish asks."""
    api = sys.modules.get("opentelemetry.trace")
    # To ask for the provider looks into the environment each time. Where it is kept is OpenTelemetry's own
    # affair, so where it is not found it is asked for.
    return api is not None and getattr(api, "_TRACER_PROVIDER", api) is not None


def trace_id_in(traceparent: str | None) -> str | None:
    """The trace id of a W3C traceparent, if there is one."""
    return traceparent[TRACE_ID] if traceparent else None
