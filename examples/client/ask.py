"""Ask a server one question after another: `python ask.py URL`."""

import os
import sys

import numpy as np

import onnxpress

with onnxpress.Client(sys.argv[1], token=os.environ.get("TOKEN")) as client:
    told = client.metadata("rents")
    print("rents takes", ", ".join(map(str, told.inputs)))

    flat = {"size": [[60]], "rooms": [[2]], "district": np.array([["centre"]], object)}
    rent = client.infer("rents", flat)["prediction"]  # float64 (1, 1)
    print(f"60 m² in the centre: {rent.item():.0f}")

    try:
        client.infer("rents", {})
    except onnxpress.BadData as error:
        print("no values:", error.what)
