"""Choose each generator's number of replicas by its queue's depth, within a budget of GPUs."""
