"""The Open Inference Protocol V2 without I/O: bytes in, bytes out."""
