"""What is measured: the serving engine on the graph, under one setting after the other."""
