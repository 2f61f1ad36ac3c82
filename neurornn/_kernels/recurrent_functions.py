"""Nonlinearities of a row of units and their slopes, in loops that become vector instructions.

The exponential is ``2^k (1 + p)``: k the nearest whole power of two and p a Taylor series on the
rest, at most ``ln(2) / 2``. Relative errors stay at a few roundings over the whole line, also near
zero, and what is not a number stays so.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

#: Name -> number by which the compiled loops know the nonlinearity.
FUNCTIONS = {"tanh": 0, "relu": 1, "linear": 2, "sigmoid": 3, "softplus": 4}

# Division by zero gives infinity, as in NumPy: a check for it would keep loops from vectors.
_LOOPS = {"fastmath": {"contract"}, "error_model": "numpy"}


@intrinsic
def _power_of_two(typing_context: Any, shifted: Any) -> Any:
    """``2^k`` from ``k + 1.5 * 2^mantissa``, whose last bits are those of the integer k."""
    mantissa, bias = (23, 127) if shifted == types.float32 else (52, 1023)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        whole = ir.IntType(shifted.bitwidth)
        bits = builder.bitcast(values[0], whole)
        bits = builder.shl(bits, ir.Constant(whole, mantissa))
        bits = builder.add(bits, ir.Constant(whole, bias << mantissa))
        return builder.bitcast(bits, context.get_value_type(shifted))

    return shifted(shifted), generate


def _in(dtype: Any) -> tuple[Callable, Callable]:
    """Nonlinearity and slope of a row, in single or double precision."""
    single = dtype is np.float32
    # High part of ln 2 with so few bits that a whole multiple of it is exact.
    high = round(math.log(2) * 2 ** (9 if single else 32)) / 2 ** (9 if single else 32)
    low = float(Decimal(2).ln() - Decimal(high))
    ln2_high, ln2_low, log2e = dtype(high), dtype(low), dtype(1 / math.log(2))
    shift = dtype(1.5 * 2 ** (23 if single else 52))
    zero, one, two = dtype(0), dtype(1), dtype(2)
    # The terms left out are below a quarter of a rounding at ln(2) / 2.
    series = tuple(dtype(1 / math.factorial(n)) for n in range(7 if single else 13, 1, -1))
    # Of atanh(z) / z in z^2, for z up to a third; in two parts, short enough to be unrolled.
    inverse = tuple(dtype(1 / n) for n in range(15 if single else 31, 0, -2))
    far, near = inverse[: len(inverse) // 2], inverse[len(inverse) // 2 :]
    # Where tanh has rounded to 1, and the exponents without overflow or denormal numbers.
    saturated, most = dtype(9.1 if single else 19.1), dtype(87 if single else 708)

    @njit(**_LOOPS)
    def polynomial(x, terms):
        total = terms[0]
        for n in range(1, len(terms)):
            total = total * x + terms[n]
        return total

    @njit(**_LOOPS)
    def parts(x):
        shifted = x * log2e + shift
        k = shifted - shift
        rest = (x - k * ln2_high) - k * ln2_low
        return _power_of_two(shifted), rest + rest * rest * polynomial(rest, series)

    @njit(**_LOOPS)
    def within(x, bound):
        # In this order a number that is not one passes through.
        x = bound if x > bound else x
        return -bound if x < -bound else x

    @njit(**_LOOPS)
    def tanh(x):
        scale, p = parts(two * within(x, saturated))
        less = scale * p + (scale - one)
        return less / (less + two)

    @njit(**_LOOPS)
    def sigmoid(x):
        scale, p = parts(-within(x, most))
        return one / (one + scale * p + scale)

    @njit(inline="always")  # LLVM finds it too long to inline, and then keeps the loop scalar.
    def softplus(x):
        scale, p = parts(within(x if x < zero else -x, most))
        e = scale * p + scale
        z = e / (two + e)
        square = z * z
        power = square * square * square * square
        if not single:
            power = power * power
        total = power * polynomial(square, far) + polynomial(square, near)
        return (x if x > zero else zero) + two * z * total

    @njit(**_LOOPS)
    def one_less_exp(x):
        scale, p = parts(within(-x, most))
        return -(scale * p + (scale - one))

    def function(kind, x, out):
        if kind == 0:
            for j in range(len(x)):
                out[j] = tanh(x[j])
        elif kind == 1:
            for j in range(len(x)):
                out[j] = zero if x[j] < zero else x[j]
        elif kind == 2:
            for j in range(len(x)):
                out[j] = x[j]
        elif kind == 3:
            for j in range(len(x)):
                out[j] = sigmoid(x[j])
        else:
            for j in range(len(x)):
                out[j] = softplus(x[j])

    def slope(kind, a, out):
        if kind == 0:
            for j in range(len(a)):
                out[j] = one - a[j] * a[j]
        elif kind == 1:
            for j in range(len(a)):
                out[j] = one if a[j] > zero else zero
        elif kind == 2:
            for j in range(len(a)):
                out[j] = one
        elif kind == 3:
            for j in range(len(a)):
                out[j] = a[j] * (one - a[j])
        else:
            for j in range(len(a)):
                out[j] = one_less_exp(a[j])

    return function, slope


_SINGLE, _DOUBLE = _in(np.float32), _in(np.float64)


def function_row(kind, x, out):
    """Write f(x) of a row of units to out."""


def slope_row(kind, a, out):
    """Write the slope of f to out, from the value ``a = f(x)``."""


@overload(function_row, jit_options=_LOOPS)
def _function_row(kind, x, out):
    return (_SINGLE if x.dtype == types.float32 else _DOUBLE)[0]


@overload(slope_row, jit_options=_LOOPS)
def _slope_row(kind, a, out):
    return (_SINGLE if a.dtype == types.float32 else _DOUBLE)[1]
