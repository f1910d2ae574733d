"""The graph held against the framework in float64: as a whole, layer by layer, constant by constant."""
