"""What gRPC and HTTP/2 cost here, alone, under floods, and with nonsense."""
