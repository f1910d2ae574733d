"""The PyTorch half of training: models and the fit loop. Only this package imports torch."""

import os

# Before the first import: OpenMP's threads wait for each other by spinning, which on a machine with other work makes a
# small network's epoch ten to thirty times longer; asleep they cost a few per cent where the machine is idle.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
