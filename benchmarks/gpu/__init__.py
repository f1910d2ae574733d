"""What a GPU does with what is exported and served here: `python -m benchmarks.gpu`, on a bare machine too."""
