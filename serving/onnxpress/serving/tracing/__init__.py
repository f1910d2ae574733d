"""Traces by OpenTelemetry: which requests are traced, and how their spans reach a collector."""
