"""What a test of an alert is made of."""

import msgspec


class Case(msgspec.Struct, frozen=True):
    """One story: what Prometheus saw, a sample a minute, and what an alert says of it."""

    alert: str
    story: str
    series: dict[str, str]
    at: str
    """When the alert is looked at."""
    labels: dict[str, str] | None = None
    """Of the alert that fires; None where it must stay silent."""
    summary: str = ""
    description: str = ""
