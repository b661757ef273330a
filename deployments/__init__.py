"""The Ray side: generators, the worker that runs them, maintenance, and autoscaling."""
