"""The commands of the serving side; each imports what it needs when it is called."""
