"""A table of flats → a pipeline for their rents → a published model; `python rents.py`."""

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import onnxpress

random = np.random.default_rng(0)
count = 500
flats = pd.DataFrame(
    {
        "size": random.normal(70, 20, count).clip(20).round(),
        "rooms": random.integers(1, 6, count).astype(float),
        "district": random.choice(["centre", "harbour", "hill"], count),
    }
)
rents = 8 * flats["size"] + 60 * flats["rooms"] + flats["district"].map({"centre": 450, "harbour": 200, "hill": 300})
flats.loc[::25, "size"] = np.nan

pipeline = make_pipeline(
    ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "rooms"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["district"]),
        ]
    ),
    Ridge(),
).fit(flats, rents)

published = onnxpress.export(pipeline, name="rents", example=flats.head(20))
print("published", published.folder)

engine = onnxpress.load(published.folder)
flat = pd.DataFrame({"size": [60.0], "rooms": [2.0], "district": ["centre"]})
expected = pipeline.predict(flat)[0]
answer = engine({name: flat[[name]].to_numpy() for name in flat.columns})["prediction"].item()
print(f"a flat of 60 m² in the centre: scikit-learn says {expected:.0f}, the published model {answer:.0f}")
