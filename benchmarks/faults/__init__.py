"""Planted faults: how many wrong exports the equivalence check refuses, beside what others check; and false alarms."""
