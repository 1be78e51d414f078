"""What can be seen: metrics, how they leave a worker pool, whether it is well, logs and traces."""

if __name__ != "callboard.observability":
    raise ImportError("write `import callboard.observability`: under two names classes would be two")
