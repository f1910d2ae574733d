"""The models being served: found, chosen by version, loaded, replaced."""
