"""Recipes that nobody had to write: those that onnxpress carries, and drafts made from a file's own columns."""
