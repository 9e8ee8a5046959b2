"""What a network takes in a runtime that keeps every tensor whole, as an interpreter does."""

from __future__ import annotations

from vadgen.lower import Program
from vadgen.plan.arena import align

# TensorFlow Lite Micro's own records, on a core of 32 bits: for an operator, for a channel of its
# output, and for the interpreter.
_OPERATOR_BYTES, _CHANNEL_BYTES, _OWN_BYTES = 320, 8, 2048


def tensor_bytes(program: Program) -> int:
    """The most bytes of tensors that are alive at once, outputs being kept to the end.

    No placement needs less; a greedy one seldom needs more.
    """
    last = {layer.output: len(program.layers) for layer in program.layers}
    last |= {value: i for i, layer in enumerate(program.layers) for value in layer.inputs}
    last |= {value: len(program.layers) for value in program.outputs}
    sizes = [align(value.total_bytes) for value in program.values]
    alive = (
        sum(sizes[v] for v in range(layer.output + 1) if last.get(v, -1) >= i)
        for i, layer in enumerate(program.layers)
    )
    return max(alive, default=sizes[0])


def interpreter_bytes(program: Program) -> int:
    """Tensors and about what TensorFlow Lite Micro writes beside them."""
    channels = sum(program.values[layer.output].channels for layer in program.layers)
    records = _OPERATOR_BYTES * len(program.layers) + _CHANNEL_BYTES * channels + _OWN_BYTES
    return tensor_bytes(program) + records
