"""What the server has done, in Prometheus's terms, for one process or for all workers."""
