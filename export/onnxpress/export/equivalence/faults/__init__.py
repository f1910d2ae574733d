"""Small faults as converters make them, planted in a copy of a graph."""
