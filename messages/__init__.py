"""What is said: contracts, envelopes, deliveries and the errors they can meet, as plain types."""
