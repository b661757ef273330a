"""Choose each generator's number of replicas by its queue's depth, within the nodes there are."""
