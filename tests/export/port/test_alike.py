"""Classes are held side by side line by line; one that only holds layers is like no other."""

from __future__ import annotations

from onnxpress.export.port.alike import alike

HOLDS = [
    "class Layer(nn.Module):",
    "    def __init__(self):",
    "        super().__init__()",
    "        self.fc = nn.Linear(4, 4)",
]
CALLED = [*HOLDS, "", "    def forward(self, x):", "        return self.fc(x)"]


def test_a_class_without_a_call_is_like_no_other() -> None:
    assert alike([HOLDS, HOLDS]) is None
    assert alike([CALLED, HOLDS]) is None
    assert alike([CALLED, [line.replace("4, 4", "4, 8") for line in CALLED]]) is not None
