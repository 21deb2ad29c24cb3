"""Vectors of float32 in registers: what pvmc/numerics/simd.py has for float64, as far as needed."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from pvmc.numerics import simd

LANES = 2 * simd.LANES
"""Numbers in a vector: as many bits as of float64."""

_INT32 = ir.IntType(32)
_NUMBERS = ir.VectorType(ir.FloatType(), LANES)
_FLAGS = ("contract", "nsz", "arcp")


class Vector32(types.Type):
    """The compiler's type of LANES float32 numbers."""

    def __init__(self) -> None:
        super().__init__(f"Single{LANES}")


_vector = Vector32()


@register_model(Vector32)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _NUMBERS)


def _define(symbol: Callable[..., Any], instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and all(isinstance(argument, Vector32) for argument in args):
                return signature(_vector, _vector, _vector)
            return None

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=_FLAGS)

    infer_global(symbol)(Template)
    lower_builtin(symbol, Vector32, Vector32)(lower)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_symbol, _instruction)


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """The vector with the same number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single = builder.fptrunc(args[0], ir.FloatType())
        first = builder.insert_element(ir.Constant(_NUMBERS, ir.Undefined), single, ir.Constant(_INT32, 0))
        order = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(_NUMBERS, ir.Undefined), order)

    return _vector(types.float64), generate


@intrinsic
def load(typing_context: Any, array: Any, position: Any) -> Any:
    """The vector of the numbers from a flat position on in a C-contiguous float32 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, array, args), align=4)

    return _vector(array, types.int64), generate


@intrinsic
def store(typing_context: Any, array: Any, position: Any, value: Any) -> Any:
    """Write to a flat position on in a C-contiguous float32 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, array, args), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def smaller(typing_context: Any, first: Any, second: Any) -> Any:
    """The smaller of each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[1], args[0]), args[1], args[0])

    return _vector(first, second), generate


@intrinsic
def larger(typing_context: Any, first: Any, second: Any) -> Any:
    """The larger of each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), args[1], args[0])

    return _vector(first, second), generate


@intrinsic
def zero_outside(typing_context: Any, value: Any, size: Any, low: Any, high: Any) -> Any:
    """The lanes of the vector where ``size`` is between the others; 0 elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered("<", args[2], args[1])
        beyond = builder.fcmp_ordered("<", args[3], args[1])
        inside = builder.and_(above, builder.not_(beyond))
        return builder.select(inside, args[0], ir.Constant(_NUMBERS, [0.0] * LANES))

    return _vector(value, size, low, high), generate


@intrinsic
def all_above(typing_context: Any, value: Any, bound: Any) -> Any:
    """Whether all lanes of the first vector are above those of the second."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_ordered("<", args[1], args[0]), ir.IntType(LANES))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, (1 << LANES) - 1))

    return types.boolean(value, bound), generate


@intrinsic
def magnitude(typing_context: Any, value: Any) -> Any:
    """|x| of every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_NUMBERS, [_NUMBERS])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32"), args)

    return _vector(value), generate


def _half_turned(distance: int) -> Any:
    @intrinsic
    def turned(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            order = [(lane + distance) % LANES for lane in range(LANES)]
            kind = ir.VectorType(_INT32, LANES)
            return builder.shuffle_vector(args[0], ir.Constant(_NUMBERS, ir.Undefined), ir.Constant(kind, order))

        return _vector(value), generate

    return turned


turned_8, turned_4, turned_2, turned_1 = (_half_turned(distance % LANES) for distance in (8, 4, 2, 1))
"""Lane i of the result is lane i + distance of the vector, modulo LANES."""


@intrinsic
def first_lane(typing_context: Any, value: Any) -> Any:
    """The number in lane 0, as float64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.extract_element(args[0], ir.Constant(_INT32, 0)), ir.DoubleType())

    return types.float64(value), generate


def _address(context: Any, builder: Any, kind: Any, args: Any) -> Any:
    data = context.make_array(kind)(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), _NUMBERS.as_pointer())
