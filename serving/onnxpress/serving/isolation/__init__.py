"""A model in a process of its own, so that one that crashes or hangs takes nobody with it."""
