"""What guards a delivery: one layer a file, and the stack that orders them."""

if __name__ != "callboard.middleware":
    raise ImportError("write `import callboard.middleware`: under two names every class would be two classes")
