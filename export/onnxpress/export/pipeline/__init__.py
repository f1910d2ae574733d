"""The export stage: prepare, convert, measure, publish; explain what is refused, verify what is published."""
