"""What stands between a transport and the service; each can be left out."""
