"""The benchmarks; each is run by a target of the Makefile."""
