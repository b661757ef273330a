"""Breaking everything on purpose, and an independent look at what became of jobs and money."""
