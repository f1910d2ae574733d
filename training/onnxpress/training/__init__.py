"""Recipes, data, model families and one fit loop per framework."""
