"""A framework's model as a Network, asked and converted; a folder for each framework."""
