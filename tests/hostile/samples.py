"""Small valid files of every kind that is read, for `tests.hostile.damage` to damage."""

import atexit
import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

import neurornn as nr
from tests.hostile import flips
from tests.io import (
    test_blackrock,
    test_caiman,
    test_limits,
    test_matlab,
    test_matlab_trees,
    test_minian,
    test_neuralynx,
    test_numpy_files,
    test_open_ephys,
    test_plexon,
    test_spikeglx_tdt,
    test_suite2p_versions,
    test_trodes,
    test_vendor,
)

Rng = np.random.Generator
N, RATE = 60, 20.0
TIME = np.arange(N) / RATE
NAMES = ["C00", "C01", "C02"]


@dataclass(frozen=True)
class Sample:
    """A valid file or folder.

    Attributes
    ----------
    make : writes it into an empty folder.
    name : what is opened of that folder; the folder itself where it is empty.
    options : for `nr.open`.
    read : reads it; by default `nr.open` does.
    sealed : whether a change of its content must be noticed.
    open_to_others : whether another program may change it and write it whole: then it is as any
        file of its format.
    refused : whether it is refused undamaged too.
    """

    make: Callable[[Path, Rng], Any]
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    read: Callable[[Path], Any] | None = None
    sealed: bool = False
    open_to_others: bool = False
    refused: bool = False


def _traces(rng: Rng) -> np.ndarray:
    return rng.normal(100, 5, (N, 3)).round(4)


# ------------------------------------------------------------------ results of other programs


def _suite2p(version: str, n_planes: int) -> Callable[[Path, Rng], Any]:
    def make(folder: Path, rng: Rng) -> None:
        frames, n = ((30,), (5,)) if n_planes == 1 else ((31, 30), (4, 3))
        test_suite2p_versions.write_run(
            folder, rng, version, n_planes=n_planes, frames=frames, n=n
        )

    return make


def _fall(folder: Path, rng: Rng) -> None:
    made = test_suite2p_versions.plane_arrays(rng, 5, 40)
    ops = {"fs": 15.0, "tau": 0.7, "neucoeff": 0.62, "nplanes": 1, "nframes": 40}
    test_suite2p_versions.write_fall(folder / "Fall.mat", [made], ops)


def _caiman(folder: Path, rng: Rng) -> None:
    test_caiman.make(folder / "a.hdf5", rng)


def _minian(form: str, name: str) -> Callable[[Path, Rng], Any]:
    def make(folder: Path, rng: Rng) -> None:
        table = test_minian.make(rng).drop_vars("A")
        test_minian.save(table, folder / name, form)

    return make


# ------------------------------------------------------------------ NWB


def _nwb_imaging(folder: Path, rng: Rng) -> None:
    from tests.io.test_nwb import Session

    session = Session(folder / "a.nwb")
    clock = {"timestamps": TIME + 0.3}
    session.imaging(3, [("DfOverF", "soma", rng.random((N, 3)), clock)])
    session.file.add_trial(start_time=0.5, stop_time=1.5)
    session.write()


def _nwb_units(folder: Path, rng: Rng) -> None:
    import pynwb

    from tests.io.test_nwb import Session, spatial

    session = Session(folder / "a.nwb")
    trains = [np.sort(rng.random(20) * 90) for _ in range(3)]
    session.units(trains, quality=["good", "mua", "good"], depth=[1.0, 2.0, 3.0])
    position = pynwb.behavior.Position(spatial_series=spatial("p", rng.random((50, 2)), rate=10.0))
    session.file.create_processing_module(name="behavior", description="x").add(position)
    session.write()


def _nwb_planes(folder: Path, rng: Rng) -> None:
    from tests.io.test_nwb import Planes

    session = Planes(folder / "a.nwb")
    session.plane("upper", rng.random((30, 2)), rate=10.0)
    session.plane("lower", rng.random((29, 3)), rate=10.0, starting_time=0.05)
    session.write()


def _nwb_observed(folder: Path, rng: Rng) -> None:
    from tests.io.test_nwb_observed import Session, spikes

    session = Session(folder / "a.nwb")
    for ranges in ([[0.0, 90.0], [130.0, 300.0]], [[30.0, 200.0]]):
        train = spikes(rng, *ranges, rate=0.5)
        session.file.add_unit(spike_times=train, obs_intervals=ranges)
    session.file.add_invalid_time_interval(start_time=40.0, stop_time=50.0)
    session.write()


# ------------------------------------------------------------------ arrays


def _array_files(suffix: str) -> Callable[[Path, Rng], Any]:
    makers: dict[str, Any] = {
        "h5": test_limits.make_h5, "nc": test_limits.make_nc, "zarr": test_limits.make_zarr,
        "npz": test_limits.make_npz, "npy": test_limits.make_npy, "mat": test_limits.make_mat,
        "v4.mat": test_limits.make_mat_4, "plain.mat": test_limits.make_mat_plain,
    }  # fmt: skip
    return lambda folder, rng: makers[suffix](folder / f"a.{suffix}", rng.random((N, 3)))


def _spikes_hdf5(folder: Path, rng: Rng) -> None:
    from tests.io.test_spike_lists import write_h5

    write_h5(folder / "a.h5", {"spike_times": rng.random(30), "unit": np.arange(30) % 3})


def _trials_npz(folder: Path, rng: Rng) -> None:
    test_numpy_files.ground_truth(folder / "a.npz", rng)


def _group_npz(folder: Path, rng: Rng) -> None:
    """Spikes as pynapple saves a TsGroup, and as it saved one when metadata were plain arrays."""
    times = np.sort(rng.random(30))
    np.savez(folder / "a.npz", t=times, index=np.arange(30) % 3, keys=np.arange(3),
             start=[0.0, 0.6], end=[0.5, 1.0], type=np.array(["TsGroup"]),
             depth=[10.0, 20.0, 30.0])  # fmt: skip


def _spikes_npz(folder: Path, rng: Rng) -> None:
    np.savez(folder / "a.npz", spike_times=rng.random(30), unit=np.arange(30) % 3)


def _tree() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    trial = [
        {"dff": rng.random((40, 3)), "name": "one"},
        {"dff": rng.random((30, 3)), "name": "b"},
    ]
    info = {"fs": test_matlab_trees.number(25), "mouse": "m1"}
    return {"exp": {"trial": trial, "info": info, "none": np.zeros((0, 0))}}


def _tree_v5(folder: Path, rng: Rng) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return test_matlab.cell(*map(plain, value)) if isinstance(value, list) else value

    scipy.io.savemat(folder / "a.mat", plain(_tree()))


def _cells_v5(folder: Path, rng: Rng) -> None:
    attached = test_matlab_trees.structs(test_matlab.trial(rng), test_matlab.trial(rng))
    scipy.io.savemat(folder / "a.mat", {"CAttached": attached})


def _tree_v73(folder: Path, rng: Rng) -> None:
    test_matlab.write_v73(folder / "a.mat", _tree())


def _spikes_v73(folder: Path, rng: Rng) -> None:
    nested = test_matlab.nested
    tetrodes = [[nested([150.0, 120.0]), nested([])], np.zeros((0, 0)), [nested([110.0, 111.0])]]
    test_matlab.write_v73(folder / "a.mat", {"spikes": [[tetrodes]]})


def _trodes(folder: Path, rng: Rng) -> None:
    path = folder / "a.videoPositionTracking"
    test_trodes.write(path, 3_000_000 + 500 * np.arange(60), np.arange(60) + 1, 7)


def _classic(folder: Path, rng: Rng) -> None:
    nr.data.from_traces(rng.random((N, 3)), sampling_rate=RATE).to_netcdf(
        folder / "a.nc", engine="scipy"
    )


def _not_sealed(folder: Path, rng: Rng) -> None:
    recording = nr.data.from_traces(rng.random((N, 3)), sampling_rate=RATE)
    recording = nr.data.add_spikes(recording, [rng.random(9) * 2.9 for _ in range(3)])
    nr.io.netcdf.prepare(recording).to_netcdf(folder / "a.nc", engine="h5netcdf")


def _zarr(version: int) -> Callable[[Path, Rng], Any]:
    def make(folder: Path, rng: Rng) -> None:
        table = nr.data.from_traces(rng.random((N, 3)), sampling_rate=RATE)
        table.to_zarr(folder / "a.zarr", zarr_format=version, consolidated=version == 2)

    return make


# ------------------------------------------------------------------ text


def _text(content: Callable[[Rng], str], name: str = "a.csv") -> Callable[[Path, Rng], Any]:
    def make(folder: Path, rng: Rng) -> None:
        data = content(rng).encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    return make


def _wide(rng: Rng) -> str:
    return pd.DataFrame(_traces(rng), columns=NAMES).assign(time=TIME).to_csv(index=False)


def _continental(rng: Rng) -> str:
    frame = pd.DataFrame(_traces(rng), columns=NAMES, index=pd.Index(TIME, name="Zeit (s)"))
    return frame.to_csv(sep=";", decimal=",")


def _long(rng: Rng) -> str:
    frame = pd.DataFrame(_traces(rng)[:20], columns=NAMES).assign(time=TIME[:20])
    return frame.melt("time", var_name="cell", value_name="value").to_csv(index=False)


def _list(rng: Rng) -> str:
    rows = zip(np.sort(rng.random(40) * 60).round(4), np.arange(40) % 3, strict=True)
    return "# session: one\nspike_time,unit\n" + "".join(f"{t},{u}\n" for t, u in rows)


def _quoted_list(rng: Rng) -> str:
    rows = zip(np.sort(rng.random(40) * 60).round(4), np.arange(40) % 3, strict=True)
    return '"spike_time","unit","quality"\n' + "".join(f'{t},"u{u}","ok"\n' for t, u in rows)


def _rows(rng: Rng) -> str:
    return pd.DataFrame(_traces(rng).T, index=NAMES, columns=TIME).to_csv()


def _inscopix(rng: Rng) -> str:
    head = " ,C00,C01,C02\nTime(s)/Cell Status, accepted, rejected, undecided\n"
    rows = zip(TIME, _traces(rng), strict=True)
    return head + "".join(f"{t:.6f},{','.join(map(str, row))}\n" for t, row in rows)


def _savetxt(rng: Rng) -> str:
    return "\n".join(" ".join(f"{v:.18e}" for v in row) for row in _traces(rng)) + "\n"


def _fasta(rng: Rng) -> str:
    letters = ["".join(rng.choice(list("ACGT"), 70)) for _ in range(6)]
    return "".join(f">s{k} of six\n{s[:40]}\n{s[40:]}\n" for k, s in enumerate(letters))


# ------------------------------------------------------------------ acquisition systems


def _phy(folder: Path, rng: Rng) -> None:
    np.save(folder / "spike_times.npy", np.array([300, 900, 1500, 3000], np.int64))
    np.save(folder / "spike_clusters.npy", np.array([0, 1, 0, 1], np.int32))
    (folder / "params.py").write_text("dat_path = ['a.bin']\nsample_rate = 30000.0\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tKSLabel\n0\tgood\n1\tmua\n")


def _legacy(folder: Path, rng: Rng) -> None:
    for k in range(2):
        values = rng.integers(-3000, 3000, 3 * 1024).astype(np.int16)
        path = folder / f"100_CH{k + 1}.continuous"
        test_open_ephys.continuous(path, values, 60000 + 1024 * np.arange(3))


def _binary(folder: Path, rng: Rng) -> None:
    test_open_ephys.binary(folder, rng.integers(-3000, 3000, (400, 3)), 45000 + np.arange(400))


def _blackrock(folder: Path, rng: Rng) -> None:
    values = rng.integers(-3000, 3000, (600, 2))
    test_blackrock.nsx(folder / "a.ns5", values, starts=(0, 900))
    test_blackrock.nev(folder / "a.nev", test_blackrock.SPIKES)


def _plexon(folder: Path, rng: Rng) -> None:
    values = rng.integers(-2000, 2000, 500).astype("<i2")
    starts = [10000, 14000, 18000, 42000, 46000]
    blocks = [
        test_plexon.block(5, at, 0, samples=part)
        for at, part in zip(starts, values.reshape(5, 100), strict=True)
    ]
    event = test_plexon.block(4, 20000, 257, 7)
    test_plexon.plx(folder / "a.plx", [*test_plexon.SPIKES, event, *blocks])


def _nix(folder: Path, rng: Rng) -> None:
    from tests.io.test_nix import nix

    nix(folder / "a.nix", rng.normal(size=(60, 2)))


def _neuralynx(folder: Path, rng: Rng) -> None:
    test_neuralynx.session(folder / "s", rng)


def _spikeglx(folder: Path, rng: Rng) -> None:
    test_spikeglx_tdt.spikeglx(folder / "s", rng.integers(-3000, 3000, (500, 2)), first=50000)


def _tdt(folder: Path, rng: Rng) -> None:
    values = rng.normal(size=(4 * test_spikeglx_tdt.CHUNK, 2)).astype(np.float32)
    test_spikeglx_tdt.tdt(folder / "tank" / "block", values)


def _brainvision(folder: Path, rng: Rng) -> None:
    test_vendor.write_brainvision(folder, rng)


# ------------------------------------------------------------------ saved results


def _recording(folder: Path, rng: Rng) -> None:
    recording = nr.data.from_traces(rng.random((N, 3)), sampling_rate=RATE)
    nr.io.write_netcdf(recording, folder / "a.nc")


_SAVED = (
    *("kinetics.nc", "kinetics", "fit", "league.nc", "decoder", "decoder.nc", "stream.nc"),
    *("gradients.nc", "checkpoint", "chunk"),
)
#: Saved results that take no fit of a network to make.
_PLAIN = ("plain", "plain.nc")


@cache
def _all(*, plain: bool) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """Save one of each kind, once: name -> place, how it is read."""
    folder = Path(tempfile.mkdtemp(prefix="neurornn-saved-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kinds = flips.saved_tables(folder) if plain else flips.kinds(folder)
    return {name: (path, read) for name, path, read in kinds}


def _saved(name: str) -> Sample:
    plain = name in _PLAIN

    def make(folder: Path, rng: Rng) -> None:
        path, _ = _all(plain=plain)[name]
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)

    def read(path: Path) -> Any:
        found = _all(plain=plain)[name][1](path)
        if name not in ("chunk", "checkpoint", *_PLAIN):
            thing = nr.load(path)
            _ = repr(thing), thing.report() if hasattr(thing, "report") else None
        return found

    return Sample(make, {"chunk": "chunks"}.get(name, name), read=read, sealed=True)


def readers() -> dict[str, list[Sample]]:
    """Return every kind of file, and valid samples of it."""
    return dict(_readers())


def _readers() -> Iterator[tuple[str, list[Sample]]]:
    versions = test_suite2p_versions.VERSIONS
    yield (
        "Suite2p",
        [*(Sample(_suite2p(v, 1)) for v in versions), Sample(_suite2p(versions[-1], 2))],
    )
    yield "Suite2p, Fall.mat", [Sample(_fall, "Fall.mat")]
    yield "CaImAn", [Sample(_caiman, "a.hdf5")]
    forms = {"folder": "m", "store": "m", "netcdf": "m.nc", "classic": "m.nc"}
    rate = {"sampling_rate": RATE}
    yield "Minian", [Sample(_minian(f, n), n, rate) for f, n in forms.items()]
    yield (
        "NWB",
        [
            Sample(_nwb_imaging, "a.nwb"), Sample(_nwb_units, "a.nwb"),
            Sample(_nwb_planes, "a.nwb", {"series": "all"}), Sample(_nwb_observed, "a.nwb"),
        ],
    )  # fmt: skip
    yield "HDF5", [Sample(_array_files("h5"), "a.h5"), Sample(_spikes_hdf5, "a.h5")]
    v5 = [Sample(_array_files(s), f"a.{s}") for s in ("mat", "plain.mat", "v4.mat")]
    trees = [Sample(_tree_v5, "a.mat", {"variable": "exp.trial.dff"}), Sample(_cells_v5, "a.mat")]
    yield "MATLAB to v7", v5 + trees
    yield (
        "MATLAB v7.3",
        [Sample(_tree_v73, "a.mat", {"variable": "exp.trial.dff"}), Sample(_spikes_v73, "a.mat")],
    )
    yield "npy", [Sample(_array_files("npy"), "a.npy", rate)]
    archives = (_array_files("npz"), _trials_npz, _spikes_npz, _group_npz)
    yield "npz", [Sample(make, "a.npz") for make in archives]
    wide = [_text(_wide), _text(_continental), _text(_inscopix)]
    yield (
        "tables, wide",
        [*(Sample(m, "a.csv") for m in wide), Sample(_text(_wide, "a.csv.gz"), "a.csv.gz")],
    )
    yield "tables, long", [Sample(_text(_long), "a.csv")]
    yield "tables, spikes", [Sample(_text(t), "a.csv") for t in (_list, _quoted_list)]
    yield "tables, cells in rows", [Sample(_text(_rows), "a.csv", rate, refused=True)]
    yield "text", [Sample(_text(_savetxt, "a.txt"), "a.txt", rate)]
    yield "netCDF", [Sample(_not_sealed, "a.nc"), Sample(_classic, "a.nc")]
    lazy = {"chunks": {"time": 16}}
    yield "netCDF, lazily", [Sample(_not_sealed, "a.nc", lazy), Sample(_classic, "a.nc", lazy)]
    yield "Zarr", [Sample(_zarr(v), "a.zarr") for v in (2, 3)]
    yield "Zarr, lazily", [Sample(_zarr(v), "a.zarr", lazy) for v in (2, 3)]
    yield "FASTA", [Sample(_text(_fasta, f"a.{s}"), f"a.{s}") for s in ("fa", "fa.gz")]
    yield "Trodes", [Sample(_trodes, "a.videoPositionTracking")]
    yield "phy", [Sample(_phy), Sample(_phy, "spike_times.npy")]
    yield "Neuralynx", [Sample(_neuralynx, "s"), Sample(_neuralynx, "s/CSC1.ncs")]
    yield "Open Ephys, legacy", [Sample(_legacy)]
    yield "Open Ephys, binary", [Sample(_binary)]
    yield "SpikeGLX", [Sample(_spikeglx, "s"), Sample(_spikeglx, "s/run_g0_t0.nidq.bin")]
    yield "TDT", [Sample(_tdt, "tank/block")]
    yield "Blackrock", [Sample(_blackrock, n) for n in ("", "a.ns5", "a.nev")]
    yield "Plexon", [Sample(_plexon, "a.plx")]
    yield "NIX", [Sample(_nix, "a.nix")]
    yield "BrainVision", [Sample(_brainvision, "a.vhdr")]
    yield "written recording", [Sample(_recording, "a.nc", sealed=True, open_to_others=True)]
    for name in (*_PLAIN, *_SAVED):
        yield f"saved {name}", [_saved(name)]
