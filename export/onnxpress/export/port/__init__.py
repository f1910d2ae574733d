"""A model carried to the other framework: traced, written as code by one table, and proven."""
