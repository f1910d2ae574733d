"""Asking a server over HTTP, this one or another that speaks the Open Inference Protocol V2; nothing serves with it.

`conversation` holds what is said and in which order, without I/O; `blocking` and `asynchronous` carry it out.
"""
