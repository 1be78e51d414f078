"""Who acts: the app, its actors, and the mailbox that keeps what waits for them."""

if __name__ != "callboard.actors":
    raise ImportError("write `import callboard.actors`: under two names every class would be two classes")
