"""The PyTorch half of training: models and the fit loop. Only this package imports torch."""

import os

# Before the first import: OpenMP's threads wait for each other by spinning, which on a machine with other work makes a
# small network many times slower. docs/adr/0004-one-fit-loop-two-learners.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
