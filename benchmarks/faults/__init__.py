"""Planted faults, unfinished: sound subjects and planters. The judge, the checkers and the page are not written yet."""
