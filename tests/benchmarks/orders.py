"""What every benchmark publishes."""

from callboard import Event


class OrderPlaced(Event, name="order.placed", key="order_id"):
    """An ordinary event."""

    order_id: str
    email: str
    total: float
    due: float
    """When its handler should start, by the monotonic clock."""
