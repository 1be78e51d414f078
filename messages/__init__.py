"""What is said: contracts, envelopes, deliveries and the errors they can meet, as plain types."""

if __name__ != "callboard.messages":
    raise ImportError("write `import callboard.messages`: under two names every class would be two classes")
