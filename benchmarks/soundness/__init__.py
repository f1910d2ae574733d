"""Sound models of kinds that were refused wrongly once: none may be refused."""
