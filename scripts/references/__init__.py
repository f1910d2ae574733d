"""The reference pages, each a module with a `page()` that gives its text."""
