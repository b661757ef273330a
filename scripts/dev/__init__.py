"""What ``./scripts/run`` does once the packages are there."""
