"""Who acts: the app, its actors, and the mailbox that keeps what waits for them."""
