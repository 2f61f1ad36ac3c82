"""Products of small matrices inside compiled loops: ``out += a @ b``, tile by tile in registers.

A recurrence multiplies by the same small matrix at every step, where a library spends as long on
packing and dispatch as on arithmetic. Here a tile of `out` stays in vector registers while the
summed index runs, so a product of 16 by 64 numbers reaches the arithmetic limit of one core. Every
entry is summed in the same order whatever the number of rows: a trial's result does not depend on
which trials run beside it.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

#: Columns that go through together; `b` and `out` are this much, or a multiple of it, wide.
LANES = 16
#: Rows of `out` that go through together.
ROWS = 4


def _groups(bits: int) -> int:
    """Groups of `LANES` columns in a tile: half the registers of the processor hold the sums."""
    features = binding.get_host_cpu_features()
    wide = features.get("avx512f", False)
    width = 512 if wide else 256 if features.get("avx2", False) else 128
    registers = 16 if features.get("sse2", False) and not wide else 32
    return max(1, min(4, registers // 2 * width // (ROWS * LANES * bits)))


GROUPS_OF = {32: _groups(32), 64: _groups(64)}


def padded(n: int) -> int:
    """Columns that `n` of them take once filled up to whole groups of `LANES`."""
    return -(-n // LANES) * LANES


def widened(x: np.ndarray) -> np.ndarray:
    """Copy (row, column) with zeros in the columns that fill the last group up."""
    out = np.zeros((x.shape[0], padded(x.shape[1])), x.dtype)
    out[:, : x.shape[1]] = x
    return out


def _tile(n_rows: int, times: int) -> Any:
    """Intrinsic that adds ``a @ b`` to one tile of out, from row i and column j on.

    The tile is `times` the usual number of columns wide, or one group of `LANES` where that is 0.
    """

    @intrinsic
    def tile(typing_context: Any, a: Any, b: Any, out: Any, i: Any, j: Any) -> Any:
        if not a.dtype == b.dtype == out.dtype:
            raise TypingError("the three matrices must have one dtype")
        signature = types.void(a, b, out, types.intp, types.intp)
        n_groups = max(1, times * GROUPS_OF[a.dtype.bitwidth])

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            number = context.get_value_type(a.dtype)
            vector, word = ir.VectorType(number, LANES), ir.IntType(64)
            name = f"llvm.fmuladd.v{LANES}f{a.dtype.bitwidth}"
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), name
            )
            arrays = [
                context.make_array(t)(context, builder, v)
                for t, v in zip(signature.args[:3], values[:3], strict=True)
            ]
            starts = [builder.ptrtoint(array.data, word) for array in arrays]
            strides = [cgutils.unpack_tuple(builder, array.strides) for array in arrays]
            n_summed = cgutils.unpack_tuple(builder, arrays[0].shape)[1]

            def place(which: int, row: Any, column: Any, kind: Any) -> Any:
                """Pointer to an entry of a, b or out."""
                by_row, by_column = strides[which]
                where = builder.add(starts[which], builder.mul(row, by_row))
                where = builder.add(where, builder.mul(column, by_column))
                return builder.inttoptr(where, ir.PointerType(kind))

            def at(base: Any, offset: int) -> Any:
                return builder.add(base, ir.Constant(word, offset))

            row, column = values[3:]
            size = a.dtype.bitwidth // 8
            cells = [(r, g) for r in range(n_rows) for g in range(n_groups)]
            targets = {
                (r, g): place(2, at(row, r), at(column, g * LANES), vector) for r, g in cells
            }
            first = {c: builder.load(targets[c], align=size) for c in cells}
            before = builder.block
            loop = builder.append_basic_block("summed")
            after = builder.append_basic_block("stored")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(word)
            k.add_incoming(ir.Constant(word, 0), before)
            sums = {c: builder.phi(vector) for c in cells}
            for c in cells:
                sums[c].add_incoming(first[c], before)
            across = [
                builder.load(place(1, k, at(column, g * LANES), vector), align=size)
                for g in range(n_groups)
            ]
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            empty = ir.Constant(vector, ir.Undefined)
            new = {}
            for r in range(n_rows):
                one = builder.load(place(0, at(row, r), k, number))
                one = builder.insert_element(empty, one, ir.Constant(ir.IntType(32), 0))
                one = builder.shuffle_vector(one, empty, lanes)
                for g in range(n_groups):
                    new[r, g] = builder.call(multiply_add, [one, across[g], sums[r, g]])
            following = builder.add(k, ir.Constant(word, 1))
            k.add_incoming(following, loop)
            for c in cells:
                sums[c].add_incoming(new[c], loop)
            builder.cbranch(builder.icmp_signed("<", following, n_summed), loop, after)
            builder.position_at_end(after)
            for c in cells:
                builder.store(new[c], targets[c], align=size)
            return context.get_dummy_value()

        return signature, generate

    return tile


_rows_whole, _rows_one = _tile(ROWS, 1), _tile(ROWS, 0)
_row_whole, _row_one = _tile(1, 1), _tile(1, 0)
# A row by itself needs as many sums at a time as several rows to keep the processor busy.
_row_double = _tile(1, 2)


@njit(cache=True, nogil=True)
def add_product(a, b, out, columns):
    """Add ``a @ b`` to out.

    Parameters
    ----------
    a : (row, summed), any strides; at least one summed.
    b : (summed, column), out : (row, column)
        Rows contiguous and filled up to whole groups of `LANES` columns (`widened`).
    columns : columns of a tile, ``LANES * GROUPS_OF[bits]``.
    """
    n_rows, n_columns = out.shape
    j = 0
    while j < n_columns:
        whole = j + columns <= n_columns
        i = 0
        while i < n_rows:
            if i + ROWS <= n_rows:
                if whole:
                    _rows_whole(a, b, out, i, j)
                else:
                    _rows_one(a, b, out, i, j)
                i += ROWS
            else:
                if whole:
                    _row_whole(a, b, out, i, j)
                else:
                    _row_one(a, b, out, i, j)
                i += 1
        j += columns if whole else LANES


@njit(cache=True, nogil=True)
def add_row_product(a, b, out, columns):
    """Add ``a @ b`` to out where there is one row alone; as `add_product`, to the last bit.

    Parameters
    ----------
    a : (1, summed). b : (summed, column), out : (1, column), rows as for `add_product`.
    columns : of a tile, as for `add_product`.
    """
    n_columns = out.shape[1]
    j = 0
    while j < n_columns:
        if j + 2 * columns <= n_columns:
            _row_double(a, b, out, 0, j)
            j += 2 * columns
        elif j + columns <= n_columns:
            _row_whole(a, b, out, 0, j)
            j += columns
        else:
            _row_one(a, b, out, 0, j)
            j += LANES
