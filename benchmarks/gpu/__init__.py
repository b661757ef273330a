"""Benchmarks that need a GPU to mean something; each also runs miniatures on a CPU."""
