"""What the server is measured against: a bare loop without features, and the same with one batch per turn."""
