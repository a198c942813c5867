"""Vectors of the project's own formats, and what generates them."""
