"""What a user names, resolved to a model and everything known about it."""
