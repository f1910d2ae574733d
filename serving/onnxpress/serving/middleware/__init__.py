"""What stands between a transport and the router: a handler each, made around another. Each can be left out."""
