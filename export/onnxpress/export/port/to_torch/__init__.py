"""A traced model written as torch modules."""
