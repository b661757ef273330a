"""Random-weight miniatures: every production architecture, small enough for a CPU."""
