"""How many replicas each generator runs: by the depth of its queue, under one budget of GPUs."""
