"""How many small faults, planted in this very graph, the questions that were asked would have shown."""
