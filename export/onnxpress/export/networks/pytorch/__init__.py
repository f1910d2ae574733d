"""torch modules and programs, and what stands around torch's exporters."""
