"""The running parts of a decoder as settings and tables of a file, and made again from them."""

from collections.abc import Mapping
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from neurornn.decode.machines import Machine, make_machine
from neurornn.decode.preparation import Preparation


def settings_of(machine: Machine, preparation: Preparation) -> dict[str, Any]:
    """Plain values of both parts."""
    return {
        "kind": machine.kind,
        "machine": machine.settings,
        "preparation": preparation.settings,
    }


def tables_of(machine: Machine, preparation: Preparation) -> dict[str, xr.Dataset]:
    """Arrays of both parts that stay as they are."""
    return {
        "machine": as_table(machine.arrays),
        "preparation": as_table(preparation.arrays),
    }


def parts_of(
    settings: Mapping[str, Any], tables: Mapping[str, xr.Dataset]
) -> tuple[Machine, Preparation]:
    """Both parts from what `settings_of` and `tables_of` returned, at their first bin."""
    machine = make_machine(settings["kind"], as_arrays(tables["machine"]), settings["machine"])
    return machine, Preparation(as_arrays(tables["preparation"]), settings["preparation"])


def as_table(arrays: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """Copies of arrays as variables, each over dims of its own."""
    table = xr.Dataset()
    for name, values in arrays.items():
        table[name] = (tuple(f"{name}_{k}" for k in range(values.ndim)), values.copy())
    return table


def as_arrays(table: xr.Dataset) -> dict[str, NDArray[Any]]:
    """What `as_table` was given."""
    return {str(name): table[name].values for name in table.data_vars}
