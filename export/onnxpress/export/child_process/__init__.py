"""Conversion in a process of its own: the parent that asks for it and watches, the child that does it."""
