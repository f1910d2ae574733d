"""Equivalence, measured: does the ONNX form say the same as the framework, in multiples of the noise floor?"""
