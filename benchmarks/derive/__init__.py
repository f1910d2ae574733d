"""Versions in fewer bits of a dozen models: size, speed, decisions that differ, verdict."""
