"""The random numbers of PyTorch that all models of a process share."""

import threading

# Held by whoever seeds the process's generator, until its numbers are drawn. Two that fork and seed
# it at the same time would draw each other's.
random_lock = threading.Lock()
