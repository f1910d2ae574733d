"""Whether row i of every output depends on row i of the inputs alone: a proof over the graph, without running it.

    >>> with open_model(path) as model:
    ...     prove(model)
    Proven()

**What is shown.** Rows lie along the first axis of every input and output. Let the graph be asked for a batch of N
rows, and for row i of it alone. Proven means: wherever both answer, row i of every output of the first is the output of
the second, in exact arithmetic, for every N ≥ 1 and every i. So neither the other rows nor their number nor the row's
place can be seen in an answer. (A kernel may still round a sum differently in a batch of another size; the measurement
bounds that. A run that fails, because another row holds what the graph refuses, is no answer.)

**How.** Both runs are followed at once, value by value, in the order of the nodes (`walk`). What is known of a value
(`values`) relates what it is in the two runs:

- *free*: it is the same in both, shape and content: a constant, or a function of sizes other than N.
- *rows* at axis a: the size of that axis is outer · N · inner, and the part at row i is what the value is alone, where
  the axis has the size outer · inner. No other axis has a size that depends on N.
- *numbers*: rows as before, but the content is the number of the row; of use only as an index.
- *ragged*: rows that a tokenizer padded to the longest of the batch (`ragged`).
- *tainted*: nothing is claimed of its content, and the reason is kept. Only a taint that reaches an output matters.

Sizes are polynomials in N and the other sizes (`sizes`), each at least 1. The elements of small tensors of them are
kept through arithmetic (`arithmetic`), so that a shape computed in the graph is known as the expression that it is. An
element that counts N taints the value, which may still serve as a shape.

**The rules**, one for each operator, are true of every input that the runtime accepts:

- element by element (`broadcasting`): rows at the same axis from the right, counted alike; beside them only sizes that
  are 1 for certain.
- moved values (`layout`, `pieces`): the rows are found again in the new shape by comparing polynomials: as many values
  before, and behind. Cutting and joining along the axis of the rows keeps whole copies of the batch.
- reductions, orders, softmax, norms (`reducing`): not over the axis of the rows. Softmax before opset 13 flattens.
- products (`products`): not summed over the rows; at the front of both, or kept once.
- indices (`indexing`): a free table may be read freely; rows along another axis, or by the row's own number.
- images, recurrent layers, attention (`images`, `recurrent`, `attention`): the rows at the operator's own batch axis,
  the same in all inputs that have one.
- tables and texts (`tables`, `texts`): the rows first, and nothing that is as long as the longest.
- If, Loop, Scan (`control`): what decides is free, so that both runs take the same steps; what is carried is widened
  until it holds before and after every step. Functions are read in place of their calls.
- random, or of a length that the values decide (NonZero, Unique), or unknown: tainted.

A rule that does not apply taints the outputs; where every input is free the outputs of a deterministic operator are
free too. A taint is *definite* where the operator surely combines rows or counts them, not merely cannot be followed.
"""

from __future__ import annotations

from onnxpress.core.rows.proof import Dependent, Proven, prove

__all__ = ["Dependent", "Proven", "prove"]
