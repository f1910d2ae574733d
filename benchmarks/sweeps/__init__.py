"""Model families through `onnxpress export`, one by one; `python -m benchmarks.sweeps` writes docs/sweeps.md."""
