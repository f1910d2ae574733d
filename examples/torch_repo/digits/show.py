"""The digits in a file of answers: `python -m digits.show answers.json`."""

import json
import sys

with open(sys.argv[1]) as file:
    (scores,) = json.load(file).values()
print(*(row.index(max(row)) for row in scores))
