"""What the writing of one step needs: where it stands, and the expression that it comes to."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.export.port.layout import Value
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Shown
from onnxpress.export.port.variables import Variables


@dataclass
class Term(Value):
    """An expression, and how loosely its outermost operator binds: 0 of what needs no brackets."""

    level: int = 0


class StepWriter(Variables):
    """Of the steps of the block at `path` from the model on."""

    def __init__(self, block: Block, path: str) -> None:
        super().__init__(block)
        self.path = path

    def refuse(self, what: str, hint: str | None = None) -> NoCorrespondence:
        """The refusal of the step that is being written, to be raised."""
        return NoCorrespondence(what, where=self.step.where or self.path or None, hint=hint)

    def term(self, code: str, level: int = 0) -> Term:
        """What the step comes to."""
        return Term(code, self.step.shown, bare=level == 0, level=level)

    def any_tensor(self) -> str:
        """A variable that holds a tensor."""
        for name, number in self.names.items():
            if number in self.values and isinstance(self.values[number].shown, Shown):
                return name
        raise self.refuse("a tensor is made on a device, and there is none to be asked for its own")
