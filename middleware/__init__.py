"""What guards a delivery: one layer a file, and the stack that orders them."""
