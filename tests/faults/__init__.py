"""Campaigns that take minutes; `make test-faults` runs them, `make test` their short forms."""
