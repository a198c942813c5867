"""Other systems, each at its own best documented settings, doing the same work in the same session."""
