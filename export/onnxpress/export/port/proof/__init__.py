"""What is proven of a port, rung by rung."""
