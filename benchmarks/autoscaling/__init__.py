"""A simulated cluster that replays traffic against the very policies that scale a real one."""
