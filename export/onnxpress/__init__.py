"""Train in PyTorch or TensorFlow, export to ONNX with measured equivalence, serve without either framework.

    import onnxpress

    published = onnxpress.export(model, name="iris", inputs=["x:float32[batch,4]"])
    engine = onnxpress.load(published.folder)
    answers = engine(x=rows)

docs/api.md shows every name. Each is imported when it is first used, so that `import onnxpress` itself costs nothing.

This file lies in each of the four source roots, the same to the byte; docs/adr/0006-a-front-door.md says why.
"""

import os as _os

# What pkgutil.extend_path(__path__, __name__) would find, without the 15 ms of importing pkgutil. Jedi looks for those
# words here to follow the other roots. In an install there is one root, and nothing is found.
_roots = _os.path.dirname(_os.path.dirname(_os.path.dirname(_os.path.abspath(__file__))))
for _root in ("core", "training", "export", "serving"):
    _portion = _os.path.join(_roots, _root, "onnxpress")
    if _portion not in __path__ and _os.path.isdir(_portion):
        __path__.append(_portion)
del _os, _roots, _root, _portion

from onnxpress._public import NAMES, __dir__, __getattr__

__all__ = list(NAMES)
del NAMES
