"""The ways in: thin layers between sockets (or another server) and the service."""
