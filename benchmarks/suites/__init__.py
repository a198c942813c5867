"""The benchmarks, B1 to B6 and B9: each a module with a function that measures and returns its section."""
