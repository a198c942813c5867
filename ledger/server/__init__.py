"""The serving process: puts the parts together, runs them, and stops them in order."""
