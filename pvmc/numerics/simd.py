"""Vectors of float64 in registers, for compiled kernels: as many numbers at a time as one instruction takes.

The compiler turns simple loops into vector code by itself, but gives up where many arrays are read and written in one
loop, and may not reorder a product.  With these types the code says what is wanted.  A kernel walks over tiles of LANES
numbers; the mask of a tile leaves out what is past the end:

    for start in range(0, size, LANES):
        inside = lanes_below(size - start)
        x = load(row, start, inside)
        store(row, start, x * x + splat(1.0), inside)

Sums, differences, products and quotients of vectors are written as of numbers.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from pvmc.numerics.kernels import inlined, whole_registers
from pvmc.numerics.special import intrinsic_function

LANES = 8 if whole_registers() else 4
"""Numbers in a vector: 512 bits where the processor has them, else 256."""

_INT32 = ir.IntType(32)
_NUMBERS = ir.VectorType(ir.DoubleType(), LANES)
_INDICES = ir.VectorType(ir.IntType(64), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FLAGS = ("contract", "nsz", "arcp")  # as of every kernel


class VectorType(types.Type):
    """The compiler's type of LANES float64 numbers."""

    def __init__(self) -> None:
        super().__init__(f"Vector{LANES}")


class MaskType(types.Type):
    """The compiler's type of LANES truth values."""

    def __init__(self) -> None:
        super().__init__(f"Mask{LANES}")


_vector, _mask = VectorType(), MaskType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _NUMBERS)  # type: ignore[no-untyped-call]


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _BITS)  # type: ignore[no-untyped-call]


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
        return _masked_load(builder, _address(context, builder, array, args), args[2])

    return _vector(array, types.int64, mask), generate


@intrinsic_function
def store(typing_context: Any, array: Any, position: Any, value: Any, mask: Any) -> Any:
    """Write the lanes of the mask to a flat position on in a C-contiguous float64 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _masked_store(builder, args[2], _address(context, builder, array, args), args[3])
        return context.get_dummy_value()

    return types.void(array, types.int64, value, mask), generate


@intrinsic_function
def store_alternately(typing_context: Any, array: Any, position: Any, first: Any, second: Any, count: Any) -> Any:
    """Write the first ``count`` lanes of two vectors in turns, 2 LANES numbers at most, to a flat position on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        twice = builder.add(args[4], args[4])
        for k in range(2):
            lanes = [
                lane for pair in range(LANES // 2) for lane in (k * LANES // 2 + pair, k * LANES // 2 + pair + LANES)
            ]
            order = ir.Constant(ir.VectorType(_INT32, LANES), lanes)
            passed = ir.Constant(args[4].type, k * LANES)
            indices = ir.Constant(_INDICES, list(range(LANES)))
            inside = builder.icmp_signed("<", indices, _splat(builder, builder.sub(twice, passed), _INDICES))
            address = _address(context, builder, array, (args[0], builder.add(args[1], passed)))
            _masked_store(builder, builder.shuffle_vector(args[2], args[3], order), address, inside)
        return context.get_dummy_value()

    return types.void(array, types.int64, first, second, types.int64), generate


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
def rotated(typing_context: Any, value: Any, distance: Any) -> Any:
    """Lane i of the result is lane i + distance of the vector, modulo LANES; the distance is a power of two."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_INT32, LANES)
        result = args[0]
        for step in (1 << k for k in range(LANES.bit_length() - 1)):
            order = ir.Constant(kind, [(lane + step) % LANES for lane in range(LANES)])
            turned = builder.shuffle_vector(args[0], ir.Constant(_NUMBERS, ir.Undefined), order)
            chosen = builder.icmp_signed("==", args[1], ir.Constant(args[1].type, step))
            result = builder.select(chosen, turned, result)  # folded: loops over constant distances are unrolled
        return result

    return _vector(value, types.int64), generate


@intrinsic_function
def transpose_square(
    typing_context: Any,
    source: Any,
    source_start: Any,
    source_stride: Any,
    n_rows: Any,
    n_columns: Any,
    target: Any,
    target_start: Any,
    target_stride: Any,
) -> Any:
    """Write up to LANES rows of up to LANES numbers of one flat float64 array as columns of another."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index = args[1].type
        data = [context.make_array(kind)(context, builder, args[k]).data for kind, k in ((source, 0), (target, 5))]

        def inside(k: int, count: Any, length: Any) -> Any:
            """The lanes of row k that there are."""
            numbers = ir.Constant(_INDICES, list(range(LANES)))
            lanes = builder.icmp_signed("<", numbers, _splat(builder, length, _INDICES))
            there = builder.icmp_signed("<", ir.Constant(index, k), count)
            return builder.select(there, lanes, ir.Constant(_BITS, [0] * LANES))

        def address(array: Any, start: Any, stride: Any, k: int) -> Any:
            position = builder.add(start, builder.mul(stride, ir.Constant(index, k)))
            return builder.bitcast(builder.gep(array, [position]), _NUMBERS.as_pointer())

        rows = [
            _masked_load(builder, address(data[0], args[1], args[2], k), inside(k, args[3], args[4]))
            for k in range(LANES)
        ]
        for k, column in enumerate(_columns(builder, rows)):
            place = address(data[1], args[6], args[7], k)
            _masked_store(builder, column, place, inside(k, args[4], args[3]))
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, integer, integer, target, integer, integer), generate


def _columns(builder: Any, rows: list[Any]) -> list[Any]:
    """LANES vectors as the rows of a square: its columns."""
    rows = list(rows)
    step = LANES // 2
    while step:  # swap the off-diagonal squares of this size
        low = [lane if not lane & step else lane - step + LANES for lane in range(LANES)]
        high = [lane + step if not lane & step else lane + LANES for lane in range(LANES)]
        for i in (i for i in range(LANES) if not i & step):
            pair = rows[i], rows[i + step]
            for target, order in ((i, low), (i + step, high)):
                rows[target] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(_INT32, LANES), order))
        step //= 2
    return rows


@intrinsic_function
def first_lane(typing_context: Any, value: Any) -> Any:
    """The number in lane 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(args[0], ir.Constant(_INT32, 0))

    return types.float64(value), generate


@inlined
def lane_sum(value: Any) -> float:
    """The sum of all lanes."""
    value = value + rotated(value, LANES // 2)
    value = value + rotated(value, LANES // 4)
    if LANES == 8:
        value = value + rotated(value, 1)
    return first_lane(value)


@intrinsic_function
def any_lane(typing_context: Any, mask: Any) -> Any:
    """True where the mask is true in some lane."""

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


@intrinsic_function
def inverse_power(typing_context: Any, value: Any) -> Any:
    """2^-e of every lane, with 2^e <= |x| < 2^(e + 1); where x is 0 or subnormal, e is -1023."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        exponents = builder.and_(builder.bitcast(args[0], _INDICES), _integers(_EXPONENT))
        return builder.bitcast(builder.sub(_integers(2046 << 52), exponents), _NUMBERS)

    return _vector(value), generate


@intrinsic_function
def counted_exponents(typing_context: Any, counts: Any, value: Any) -> Any:
    """The counts and, of every lane, e + 1023 as in :func:`inverse_power`; counts are bits, at first splat(0.0)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        exponents = builder.and_(builder.bitcast(args[1], _INDICES), _integers(_EXPONENT))
        raised = builder.add(builder.bitcast(args[0], _INDICES), builder.lshr(exponents, _integers(52)))
        return builder.bitcast(raised, _NUMBERS)

    return _vector(counts, value), generate


@intrinsic_function
def total_count(typing_context: Any, counts: Any) -> Any:
    """The sum over the lanes of counts."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INDICES)
        lanes = [builder.extract_element(bits, ir.Constant(_INT32, lane)) for lane in range(LANES)]
        return functools.reduce(builder.add, lanes)

    return types.int64(counts), generate


_EXPONENT = 2047 << 52
"""The bits of the exponent."""


def _integers(value: int) -> Any:
    return ir.Constant(_INDICES, [value] * LANES)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


def _address(context: Any, builder: Any, kind: Any, args: Any) -> Any:
    """Address of the element ``args[1]`` of the array ``args[0]``, as a pointer to a vector."""
    data = context.make_array(kind)(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), _NUMBERS.as_pointer())


def _masked_load(builder: Any, address: Any, mask: Any) -> Any:
    kind = ir.FunctionType(_NUMBERS, [address.type, _INT32, _BITS, _NUMBERS])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f64.p0")
    zeros = ir.Constant(_NUMBERS, [0.0] * LANES)
    return builder.call(function, [address, ir.Constant(_INT32, 8), mask, zeros])


def _masked_store(builder: Any, value: Any, address: Any, mask: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_NUMBERS, address.type, _INT32, _BITS])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f64.p0")
    builder.call(function, [value, address, ir.Constant(_INT32, 8), mask])
