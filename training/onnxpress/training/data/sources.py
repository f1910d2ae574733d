"""Where rows come from; a recipe's `data.source` chooses one."""

from onnxpress.training.data.bundled import Bundled, Penguins
from onnxpress.training.data.csv_file import CsvFile
from onnxpress.training.data.events import Events
from onnxpress.training.data.json_file import JsonFile
from onnxpress.training.data.motion import Samples, TimeSeries, WideSamples
from onnxpress.training.data.vectors import Vectors

Data = Bundled | Penguins | CsvFile | JsonFile | TimeSeries | Events | Samples | WideSamples | Vectors

__all__ = [
    "Bundled",
    "CsvFile",
    "Data",
    "Events",
    "JsonFile",
    "Penguins",
    "Samples",
    "TimeSeries",
    "Vectors",
    "WideSamples",
]
