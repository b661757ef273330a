"""The Ray side: generators, the worker they run in, and the keeper."""
