"""Where deliveries wait, are leased, scheduled, settled and remembered."""
