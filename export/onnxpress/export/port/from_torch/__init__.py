"""A torch module traced into blocks."""
