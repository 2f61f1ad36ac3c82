#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0.0): the frames of a virtual data set whose source file is not there read as 0.
#
# Long recordings are often one small file whose data set maps the files of the single runs (a virtual data set).
# When such a file is copied without one of the others, one would expect an error on reading, as with an external
# link to a missing file. Instead the frames of the missing run come back as the fill value, by default 0, without a
# warning: silence of all cells that cannot be told from a recording. The property `is_virtual` and the list from
# `virtual_sources()` are the only trace of it.
#
# Seen: 3 frames of 7, then 3 frames of 0 where the second file held 8; the external link raises KeyError.
# Fails if that changes. What neurornn does about it: a virtual data set that maps other files is refused unless
# follow_links=True is passed, and then every source must be there.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet h5py==3.16.0 numpy==2.4.6
venv/bin/python - <<'PY'
import os

import h5py
import numpy as np

for k, value in enumerate((7.0, 8.0)):
    with h5py.File(f"run_{k}.h5", "w") as file:
        file["F"] = np.full((3, 2), value)
layout = h5py.VirtualLayout((6, 2), dtype=float)
for k in range(2):
    layout[3 * k : 3 * k + 3] = h5py.VirtualSource(f"run_{k}.h5", "F", shape=(3, 2))
with h5py.File("session.h5", "w") as file:
    file.create_virtual_dataset("F", layout)
    file["by_link"] = h5py.ExternalLink("run_1.h5", "F")

with h5py.File("session.h5") as file:
    whole = file["F"][:, 0].tolist()
os.rename("run_1.h5", "copied_elsewhere.h5")
with h5py.File("session.h5") as file:
    without = file["F"][:, 0].tolist()
    try:
        file["by_link"]
        link = "read"
    except KeyError:
        link = "KeyError"

print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}")
print(f"both files there: {whole}\nthe second gone: {without}\nexternal link to it: {link}")
assert whole == [7.0] * 3 + [8.0] * 3
assert without == [7.0] * 3 + [0.0] * 3, "changed: the missing frames no longer read as 0"
assert link == "KeyError"
print("as described")
PY
