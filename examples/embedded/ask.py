"""Ask the application in this process, as a browser and a caller would."""

from app import app
from starlette.testclient import TestClient

FLAT = {
    "inputs": [
        {"name": "size", "datatype": "FP64", "shape": [1, 1], "data": [60]},
        {"name": "rooms", "datatype": "FP64", "shape": [1, 1], "data": [2]},
        {"name": "district", "datatype": "BYTES", "shape": [1, 1], "data": ["centre"]},
    ]
}

with TestClient(app) as client:
    page = client.get("/")
    print("GET / ->", page.status_code, page.text)
    answer = client.post("/ml/v2/models/rents/infer", json=FLAT)
    print("POST /ml/v2/models/rents/infer ->", answer.status_code)
    print(f"the rent: {answer.json()['outputs'][0]['data'][0]:.0f}")
