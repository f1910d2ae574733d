"""What the server does when it is asked too much, asked nonsense, kept waiting, or asked for a long time."""
