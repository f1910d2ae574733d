"""Side-by-side measurements. `python -m benchmarks` runs the quick ones and writes a record and a picture."""
