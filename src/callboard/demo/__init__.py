"""A small shop that shows what Callboard does, and checks it."""
