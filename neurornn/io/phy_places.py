"""Where the clusters of a folder of phy or Kilosort lie: the peak channel of the mean template."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import ShapeError
from neurornn.io.phy_folders import array_in, whole_numbers


def places_of(folder: Path, templates: NDArray[Any], opens: NDArray[np.intp]) -> dict[str, Any]:
    """Return the channel and the depth of each cluster, as coordinates of ``unit``.

    Parameters
    ----------
    folder : path.
    templates : (spike,), number of the template of each spike, cluster after cluster.
    opens : (unit,), where each cluster begins in it.

    Returns
    -------
    ``channel`` (row of the recording, from 0; -1 where the template is empty) and ``depth`` (um),
    as far as the files for it are there.

    Raises
    ------
    ShapeError
        Files that do not fit together.

    Notes
    -----
    The mean template is that of the spikes of the cluster: what was merged in phy has several.
    Templates are stored whitened; as in phy they are multiplied by ``whitening_mat_inv.npy``, and
    the channel with the largest difference between highest and lowest value is the peak.
    """
    shapes = array_in(folder, "templates.npy", on_disk=True)
    if shapes is None:
        return {}
    if shapes.ndim != 3:
        raise _unfit(
            folder, f"templates.npy has shape {shapes.shape}", "(template, time, channel)"
        )
    if len(templates) and not 0 <= templates.min() <= templates.max() < len(shapes):
        raise _unfit(
            folder,
            f"spike_templates.npy goes from {templates.min()} to {templates.max()}, and "
            f"templates.npy has {len(shapes)} templates",
            "the number of a template, from 0, for each spike",
        )
    rows = whole_numbers(folder, "channel_map.npy")
    position = array_in(folder, "channel_positions.npy")
    if position is not None and (position.ndim != 2 or position.shape[1] < 2):
        raise _unfit(folder, f"channel_positions.npy has shape {position.shape}", "(channel, 2)")
    columns = _columns(folder, shapes)
    back = array_in(folder, "whitening_mat_inv.npy")
    sizes = {
        "channel_map.npy": None if rows is None else len(rows),
        "channel_positions.npy": None if position is None else len(position),
        "whitening_mat_inv.npy": None if back is None else len(back),
    }
    known = {name: n for name, n in sizes.items() if n is not None}
    n_channels = next(iter(known.values()), int(columns.max(initial=-1)) + 1)
    if any(n != n_channels for n in known.values()) or columns.max(initial=-1) >= n_channels:
        said = ", ".join(f"{name} {n}" for name, n in known.items())
        raise _unfit(
            folder,
            f"templates.npy reaches channel {columns.max(initial=-1)} and the number of channels "
            f"is: {said}",
            "one number of channels in all of them",
        )
    if back is not None and back.shape != (n_channels, n_channels):
        raise _unfit(
            folder,
            f"whitening_mat_inv.npy has shape {back.shape}",
            f"({n_channels}, {n_channels})",
        )
    peak = _peaks(shapes, columns, back, n_channels, np.split(templates, opens[1:]))
    lies = peak >= 0
    channel = peak if rows is None else np.where(lies, rows[peak], -1)
    about = "row of the recording, from 0, in which the mean template is largest"
    out: dict[str, Any] = {"channel": ("unit", channel.astype(np.int64), {"long_name": about})}
    if position is not None:
        depth = np.where(lies, position[peak, 1].astype(float), np.nan)
        out["depth"] = ("unit", depth, {"units": "um", "long_name": "y of that channel"})
    return out


def _columns(folder: Path, shapes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the channel of each column of each template, (template, column); -1 is none."""
    for name in ("templates_ind.npy", "template_ind.npy"):
        found = array_in(folder, name)
        if found is None:
            continue
        if found.shape != (shapes.shape[0], shapes.shape[2]):
            raise _unfit(
                folder,
                f"{name} has shape {found.shape} and templates.npy {shapes.shape}",
                "a channel for each column of each template",
            )
        return found.astype(np.int64)
    return np.tile(np.arange(shapes.shape[2]), (shapes.shape[0], 1))


def _peaks(
    shapes: NDArray[Any],
    columns: NDArray[np.int64],
    back: NDArray[Any] | None,
    n_channels: int,
    each: list[NDArray[Any]],
) -> NDArray[np.int64]:
    out = np.full(len(each), -1, dtype=np.int64)
    for k, mine in enumerate(each):
        mean = np.zeros((shapes.shape[1], n_channels))
        covered = np.zeros(n_channels, dtype=bool)
        counts = np.bincount(mine)
        for template in np.flatnonzero(counts):
            n = counts[template]
            used = columns[template] >= 0
            mean[:, columns[template][used]] += n / len(mine) * shapes[template][:, used]
            covered[columns[template][used]] = True
        if back is not None:
            mean = mean @ back
        size = np.where(covered, np.ptp(mean, axis=0), 0.0)
        if size.max(initial=0.0) > 0:
            out[k] = int(np.argmax(size))
    return out


def _unfit(folder: Path, came: str, needed: str) -> ShapeError:
    return ShapeError(
        f"In {folder.name} {came}",
        f"It was needed: {needed}",
        "Copy the folder again; to read the spikes without their places, take templates.npy out "
        "of it",
    )
