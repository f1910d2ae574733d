"""What the commands do: train a recipe, carry a run to the other framework, learn from feedback; each writes a run."""
