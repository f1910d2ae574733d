"""Smaller and quicker versions of a published one: made, measured against their parent, published or refused."""
