from callboard import Callboard, Context, Event, Retry

app = Callboard("shop")


class OrderPlaced(Event, name="order.placed", version=1, key="order_id"):
    order_id: str
    email: str
    total: float


@app.actor(queue="orders", retry=Retry.every("6m", give_up_after="14d"))
def send_receipt(event: OrderPlaced, ctx: Context) -> None:
    ctx.logger.info("sending", order_id=event.order_id, attempt=ctx.attempt)


if __name__ == "__main__":
    app.publish(OrderPlaced("A-1", "ann@example.org", 25.0))
    app.publish(OrderPlaced("A-2", "bob@example.org", 12.5), after="5 minutes")
