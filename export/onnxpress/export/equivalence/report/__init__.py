"""What a measurement is told as: `equivalence.json` and `equivalence.html`."""
