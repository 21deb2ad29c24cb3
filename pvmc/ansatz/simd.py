"""Vectors of float64 in registers, for compiled kernels: as many walkers at a time as one instruction takes.

The compiler turns simple loops over walkers into vector code by itself, but gives up where many arrays are read and
written in one loop, and cannot keep a result in registers over an outer loop.  With these types the code says what is
wanted.  A kernel walks over tiles of LANES walkers; the mask of a tile leaves out what is past the last walker:

    for start in range(0, width, LANES):
        inside = lanes_below(width - start)
        x = load(row, start, inside)
        store(row, start, x * x + splat(1.0), inside)

Sums, differences, products and quotients of vectors are written as of numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from pvmc.ansatz.vector_math import intrinsic_function, whole_registers

LANES = 8 if whole_registers() else 4
"""Walkers in a vector: 512 bits where the processor has them, else 256."""

_INT32 = ir.IntType(32)
_NUMBERS = ir.VectorType(ir.DoubleType(), LANES)
_INDICES = ir.VectorType(ir.IntType(64), LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FLAGS = ("contract", "nsz", "arcp")  # as of every kernel


class VectorType(types.Type):
    """The compiler's type of LANES float64 numbers."""

    def __init__(self) -> None:
        super().__init__(f"Vector{LANES}")  # type: ignore[no-untyped-call]


class MaskType(types.Type):
    """The compiler's type of LANES truth values."""

    def __init__(self) -> None:
        super().__init__(f"Mask{LANES}")  # type: ignore[no-untyped-call]


_vector, _mask = VectorType(), MaskType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _NUMBERS)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _BITS)


def _define(symbol: Callable[..., Any], instruction: str) -> None:
    """Give an operator of Python its meaning for two vectors."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and all(isinstance(argument, VectorType) for argument in args):
                return signature(_vector, _vector, _vector)
            return None

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=_FLAGS)

    infer_global(symbol)(Template)
    lower_builtin(symbol, VectorType, VectorType)(lower)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_symbol, _instruction)


@intrinsic_function
def splat(typing_context: Any, value: Any) -> Any:
    """The vector with the same number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0], _NUMBERS)

    return _vector(types.float64), generate


@intrinsic_function
def lanes_below(typing_context: Any, count: Any) -> Any:
    """The mask of the lanes 0 ... count - 1; all of them where the count is larger, none where it is not positive."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_signed("<", ir.Constant(_INDICES, list(range(LANES))), _splat(builder, args[0], _INDICES))

    return _mask(types.int64), generate


@intrinsic_function
def load(typing_context: Any, array: Any, position: Any, mask: Any) -> Any:
    """The vector of the numbers from a flat position on in a C-contiguous float64 array, 0 outside of the mask."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _masked_load(builder, _address(context, builder, array, args, _NUMBERS), args[2], _NUMBERS, "v%df64", 8)

    return _vector(array, types.int64, mask), generate


@intrinsic_function
def load_mask(typing_context: Any, array: Any, position: Any, mask: Any) -> Any:
    """The mask of what is true from a flat position on in a C-contiguous bool array, and in the mask."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bytes_ = _masked_load(builder, _address(context, builder, array, args, _BYTES), args[2], _BYTES, "v%di8", 1)
        return builder.icmp_unsigned("!=", bytes_, ir.Constant(_BYTES, [0] * LANES))

    return _mask(array, types.int64, mask), generate


@intrinsic_function
def store(typing_context: Any, array: Any, position: Any, value: Any, mask: Any) -> Any:
    """Write the lanes of the mask to a flat position on in a C-contiguous float64 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, array, args, _NUMBERS)
        kind = ir.FunctionType(ir.VoidType(), [_NUMBERS, address.type, _INT32, _BITS])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f64.p0")
        builder.call(function, [args[2], address, ir.Constant(_INT32, 8), args[3]])
        return context.get_dummy_value()

    return types.void(array, types.int64, value, mask), generate


@intrinsic_function
def select(typing_context: Any, mask: Any, first: Any, second: Any) -> Any:
    """The first vector where the mask is true, the second elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return _vector(mask, first, second), generate


@intrinsic_function
def less(typing_context: Any, first: Any, second: Any) -> Any:
    """The mask of first < second; false for NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("<", *args)

    return _mask(first, second), generate


@intrinsic_function
def without(typing_context: Any, first: Any, second: Any) -> Any:
    """The mask of what is in the first mask and not in the second."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.and_(args[0], builder.not_(args[1]))

    return _mask(first, second), generate


@intrinsic_function
def any_lane(typing_context: Any, mask: Any) -> Any:
    """Whether the mask is true somewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), generate


@intrinsic_function
def magnitude(typing_context: Any, value: Any) -> Any:
    """|x| of every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_NUMBERS, [_NUMBERS])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f64")
        return builder.call(function, args)

    return _vector(value), generate


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


def _address(context: Any, builder: Any, kind: Any, args: Any, vector: Any) -> Any:
    """Where the element ``args[1]`` of the array ``args[0]`` is, as a pointer to a vector."""
    data = context.make_array(kind)(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())


def _masked_load(builder: Any, address: Any, mask: Any, kind: Any, name: str, alignment: int) -> Any:
    function_type = ir.FunctionType(kind, [address.type, _INT32, _BITS, kind])
    name = f"llvm.masked.load.{name % LANES}.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    zeros = ir.Constant(kind, [0] * LANES)
    return builder.call(function, [address, ir.Constant(_INT32, alignment), mask, zeros])
