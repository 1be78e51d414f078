"""A triage digest of GitHub webhooks: 208 real payloads, each delivered three times, each counted once."""
