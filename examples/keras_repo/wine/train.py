"""Train the network: `python -m wine.train` writes wine.keras, samples.npz and rows.json."""

import json

import keras
import numpy as np
from sklearn.datasets import load_wine

keras.utils.set_random_seed(0)
data = load_wine()
measurements = data.data.astype("float32")
order = np.random.default_rng(0).permutation(len(measurements))
training, held_out = order[:140], order[140:]

scaling = keras.layers.Normalization()
scaling.adapt(measurements[training])
model = keras.Sequential(
    [
        keras.Input((13,), name="measurements"),
        scaling,
        keras.layers.Dense(16, activation="gelu"),
        keras.layers.Dense(3, activation="softmax", name="kind"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(measurements[training], data.target[training], epochs=60, verbose=0)
_, right = model.evaluate(measurements[held_out], data.target[held_out], verbose=0)
print(f"right on wines never seen: {right:.1%}")

model.save("wine.keras")
np.savez("samples.npz", measurements=measurements[held_out])
with open("rows.json", "w") as file:
    json.dump({"measurements": measurements[[0, 80, 160]].tolist()}, file)
