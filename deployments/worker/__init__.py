"""The replica around a generator: claim, fetch, generate, upload, settle."""
