"""What every test shares: how hypothesis runs here. Nothing of ours, and no framework, is imported at collection."""

from __future__ import annotations

from hypothesis import settings

# Deadlines fail at random on a machine that does other work too; the suite's timeout holds runaway examples. The same
# examples on every run: a search for new ones is a person's own call (--hypothesis-profile=explore).
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("suite")
