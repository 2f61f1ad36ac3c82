"""PyDMD's methods behind one front: our forms of data in, our table in seconds and hertz out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_choice, check_confidence_level
from neurornn._core.confidence import Estimate, delta_interval, normal_quantile, to_dataset
from neurornn._core.errors import DataError, ThreePartError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table, parameters_table, versions
from neurornn._core.rng import RNG, seed_of
from neurornn._core.status import Status
from neurornn._core.units import counted, format_number
from neurornn.data.samples import Samples
from neurornn.io.saved import SavedContent
from neurornn.io.shell import TableResult
from neurornn.koopman.mode_table import GROWS, NOT_RESOLVED, SLOW, time_constants
from neurornn.koopman.pydmd_checks import (
    check_frames,
    check_options,
    check_rank,
    derivatives_of,
    fixed_point_of,
    inputs_of,
    plain_option,
    rank_of,
)
from neurornn.koopman.pydmd_methods import METHODS, Found, Job, Modes, quiet
from neurornn.koopman.trajectories import as_trajectories

UNPAIRED = "unpaired"
#: Without an interval, a mode that changes by less than this share over the recording may stay.
_STAYS = 0.01
#: Share of the frequency where aliases begin up to which one is told.
_NEAR = 0.95
_REMEDIES = {
    GROWS: "The mode grows. Check for a drift, or fit with fit_modes(stable=True).",
    NOT_RESOLVED: (
        "The mode is gone within a frame, or turns by more than half of what the method can tell: "
        "another one may look the same. Record faster, or lower the rank."
    ),
    SLOW: (
        "The data do not tell this mode from one that stays for ever. Record for longer, or look "
        "at the bounds of fit_modes."
    ),
    UNPAIRED: (
        "The conjugate that real data bring with a mode that swings is missing, so the search "
        "went astray: do not read the modes. Pass another rank, or use fit_modes."
    ),
}
_METHOD = "as PyDMD's class finds it"


class DMDResult(TableResult):
    """Modes that a class of PyDMD found; made by `dmd`.

    Attributes
    ----------
    parameters : Dataset over ``mode``, a conjugate pair as one, the slowest first
        ``time_constant`` (s), ``frequency`` (Hz), ``amplitude`` (unit of the data; length over
        units of the contribution to the first frame, of a window where the method has some) and
        ``rate`` (1/s), each with its interval where the class gives a standard error; ``status``;
        ``level`` and ``t_start`` (s) of the window for ``"multiresolution"``.
    settings : how it was made: class and version of PyDMD, options, what it warned of, how its
        eigenvalues were brought to 1/s.
    shapes : DataArray (mode, unit, part)
        Real and imaginary part of what each mode looks like, of length 1.
    eigenvalues : (eigenvalue,), complex, 1/s, conjugates beside one another.
    estimator : the object of PyDMD; None after loading, as no file keeps it.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "looks")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "pydmd")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="time_constant", units="s", dims=("mode",),
            long_name="time constant of the mode", method=_METHOD,
        ),
        Quantity(
            name="frequency", units="Hz", dims=("mode",), long_name="frequency of the mode",
            method=_METHOD,
        ),
        Quantity(
            name="amplitude", units=OF_DATA, dims=("mode",),
            long_name="size of the mode at the start", method=_METHOD,
        ),
        Quantity(
            name="rate", units="1/s", dims=("mode",), long_name="growth rate of the mode",
            method=_METHOD,
        ),
    )  # fmt: skip
    looks: xr.Dataset
    estimator: Any

    def __init__(
        self,
        parameters: xr.Dataset,
        settings: Mapping[str, Any],
        *,
        looks: xr.Dataset,
        estimator: Any = None,
    ) -> None:
        super().__init__(parameters, settings, looks=looks)
        self.estimator = estimator

    @property
    def shapes(self) -> xr.DataArray:
        """What each mode looks like, (mode, unit, part), of length 1."""
        return self.looks["shape"]

    @property
    def eigenvalues(self) -> NDArray[np.complex128]:
        """Eigenvalues, (eigenvalue,), 1/s, conjugates beside one another."""
        table = self.parameters
        upper = table["rate"].values + 2j * np.pi * table["frequency"].values
        alone = (upper.imag == 0) | (table["status"].values == UNPAIRED)
        both = np.stack([upper, upper.conj()], axis=1)
        return both[np.stack([np.ones_like(alone), ~alone], axis=1)]

    def _report_table(self) -> Table:
        s = self.settings
        n = s["n_trajectories"]
        head = [
            f"{s['class']} of PyDMD {s['pydmd']}: {counted(s['n_eigenvalues'], 'eigenvalue')} of "
            f"{counted(s['n_units'], 'unit')}; {counted(s['n_frames'], 'frame')} of "
            f"{format_number(s['dt'])} s in {'1 trajectory' if n == 1 else f'{n} trajectories'}",
            f"eigenvalues are {s['eigenvalues']}",
        ]
        said = [f"PyDMD says: {t}" for t in s["said"]]
        return parameters_table(self.parameters, "Modes of PyDMD", head=head, notes=said)

    def __repr__(self) -> str:
        s = self.settings
        return f"DMDResult({s['class']}, {counted(self.parameters.sizes['mode'], 'mode')})"

    def _methods_sentence(self) -> str:
        s = self.settings
        n = self.parameters.sizes["mode"]
        return (
            f"{counted(n, 'mode')} ({counted(s['n_eigenvalues'], 'eigenvalue')}) "
            f"{'was' if n == 1 else 'were'} fitted to {s['n_units']} units by "
            f"{METHODS[s['method']].title} ({s['class']} of PyDMD {s['pydmd']}); eigenvalues were "
            f"{s['eigenvalues']}"
        )

    def _papers_used(self) -> list[str]:
        known = bool(np.isfinite(self.parameters["rate_ci"].values).any())
        return [
            *METHODS[self.settings["method"]].papers,
            *(["shao_1989"] if known else []),
            "ichinaga_2024",
        ]

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        return cls(content.tables["parameters"], content.settings, looks=content.tables["looks"])


def dmd(
    states: Any,
    dt: float | None = None,
    *,
    method: str = "exact",
    rank: int | float | str = "auto",
    inputs: Any = None,
    derivatives: Any = None,
    fixed_point: Any = None,
    confidence_level: float = 0.95,
    rng: RNG = 0,
    **options: Any,
) -> DMDResult:
    """Fit a class of PyDMD as it is, and tell what it found in s and Hz.

    Parameters
    ----------
    states : (time, unit), or a variable of a recording
        Complete frames of one trajectory; ``"exact"`` and ``"lando"`` also take (trial, time,
        unit) and lists of arrays (time, unit).
    dt : s, between frames; a DataArray may bring it.
    method : ``"exact"`` (PyDMD's DMD), ``"bop"`` (BOPDMD), ``"hankel"`` (HankelDMD), ``"havok"``
        (HAVOK), ``"control"`` (DMDc), ``"lando"`` (LANDO) or ``"multiresolution"`` (MrDMD).
    rank : number of eigenvalues, conjugates counted twice; a share of the energy, below 1;
        ``"auto"`` for PyDMD's threshold of singular values, which is made for noise and may keep
        too few modes of data without any. Of each window for ``"multiresolution"``.
    inputs : (time, input), for ``"control"``; each is held from its frame to the next one.
    derivatives : (time, unit), unit of the data per second, for ``"lando"``: a model in continuous
        time. Without them it is a map from frame to frame.
    fixed_point : (unit,), for ``"lando"``: where the model is linearised; by default 0, which a
        kernel that is not linear does not take.
    confidence_level : of the intervals.
    rng : int, Generator or None; of the bags of ``"bop"`` and the dictionary of ``"lando"``.
    **options : of PyDMD's class, by PyDMD's names; all but ``svd_rank``. Where none is given,
        ``"exact"`` has ``exact=True``, ``"bop"`` ``num_trials=100`` and ``eig_sort="imag"``,
        ``"hankel"`` ``d=10``, and the rest what PyDMD has.

    Returns
    -------
    DMDResult
        Its ``parameters`` are those of `Modes`; the object of PyDMD is its ``estimator``.

    Raises
    ------
    NameUnknownError, KindError, ShapeError, UnitError, DataError
        A method or option that is not known, data without a clock, frames that are missing, units
        that are constant, several trajectories where the class takes one, a rank above what the
        data hold, a fit that PyDMD gives up.

    See Also
    --------
    fit_modes : takes missing frames and trials, and gives intervals to every mode.

    Notes
    -----
    Rates are ``log(eigenvalue) / dt`` where the class returns factors per frame (``"exact"``,
    ``"hankel"``, ``"multiresolution"``; ``"lando"`` without derivatives; per ``lag`` frames for
    ``"control"``), the eigenvalues themselves where they are per second (``"bop"``; ``"lando"``
    with derivatives), and ``asinh(eigenvalue dt) / dt`` for ``"havok"``, whose derivatives are
    central differences: it cannot tell frequencies above a quarter of the sampling rate from those
    below. HAVOK models delay coordinates as a linear system that the last of them forces; its
    modes here are those of the linear part, as many as `rank`, and have no amplitude. How it takes
    derivatives at the two ends costs accuracy where modes decay much over the recording.

    Only BOPDMD gives standard errors: the spread of fits to bags of frames. Bags are drawn without
    replacement, so the spread is ``sqrt(1 / trial_size - 1)`` of the standard error (Shao & Wu
    1989); intervals are corrected for that. They hold for noise that is white.

    References
    ----------
    Ichinaga et al. 2024, JMLR 25(417):1. Schmid 2010, doi:10.1017/S0022112010001217. Tu et al.
    2014, doi:10.3934/jcd.2014.1.391. Askham & Kutz 2018, doi:10.1137/M1124176. Sashidhar & Kutz
    2022, doi:10.1098/rsta.2021.0199. Arbabi & Mezic 2017, doi:10.1137/17M1125236. Brunton et al.
    2017, doi:10.1038/s41467-017-00030-8. Proctor, Brunton & Kutz 2016, doi:10.1137/15M1013857.
    Baddoo et al. 2022, doi:10.1098/rspa.2021.0830. Kutz, Fu & Brunton 2016,
    doi:10.1137/15M1023543. Shao & Wu 1989, doi:10.1214/aos/1176347263.

    Examples
    --------
    >>> from neurornn.simulate import simulate_oscillators
    >>> run = simulate_oscillators(noise_sd=1e-4, rng=0)
    >>> found = dmd(run["series"], method="hankel", rank=5, d=20)
    >>> found.parameters["time_constant"].values.round(2)
    array([2. , 1.5, 0.8])
    >>> type(found.estimator).__name__
    'HankelDMD'
    """
    import pydmd

    check_confidence_level(confidence_level)
    known = METHODS[check_choice(method, "method", METHODS)]
    cls = getattr(pydmd, known.cls)
    given = {**known.defaults, **check_options(cls, known, options)}
    samples = as_trajectories(states, dt)
    svd_rank = rank_of(rank, method, given)
    check_frames(samples, known)
    # Delays by default are no more than a quarter of a short recording.
    if known.delays and known.delays not in options:
        given[known.delays] = max(1, min(10, samples.n_rows // 4))
    most = check_rank(samples, svd_rank, method, known, given)
    job = Job(
        states=[np.asarray(samples.values[s], dtype=np.float64).T for s in samples.stretches],
        dt=float(samples.dt),
        rank=svd_rank,
        options=given,
        inputs=inputs_of(inputs, samples, method),
        derivatives=derivatives_of(derivatives, samples, method),
        fixed_point=fixed_point_of(fixed_point, samples, method, given),
        seed=seed_of(rng) % 2**32,
    )
    try:
        with one_thread(), quiet(job.seed) as said:
            found = known.read(cls, job)
    except ThreePartError:
        raise
    except (ValueError, TypeError, RuntimeError, IndexError, AttributeError) as error:
        raise DataError(
            f"{known.cls} of PyDMD gave up: {error}",
            "Options and data that it can fit were needed",
            "Pass a lower rank or other options, or use fit_modes",
        ) from error
    if np.isnan(found.modes.rates).any():
        raise DataError(
            f"{known.cls} of PyDMD returned eigenvalues that are no numbers",
            "Options and data that it can fit were needed",
            "Pass a lower rank or other options, or use fit_modes",
        )
    # Each window of a multiresolution analysis has some.
    if found.n_eigenvalues > most and method != "multiresolution":
        raise DataError(
            f"{known.cls} took {found.n_eigenvalues} eigenvalues from data of rank {most}",
            "A rank that the data hold was needed: the others are rounding",
            f"Pass rank={most}",
        )
    settings = {
        "method": method, "class": known.cls, "pydmd": versions("pydmd")["pydmd"], "rank": rank,
        "options": {k: plain_option(v) for k, v in given.items()}, "dt": job.dt,
        "n_eigenvalues": found.n_eigenvalues, "n_units": int(samples.values.shape[1]),
        "n_frames": int(samples.n_rows), "n_trajectories": len(job.states),
        "eigenvalues": found.units, "said": said, "confidence_level": float(confidence_level),
        "data_units": samples.units or "1", "seed": job.seed,
    }  # fmt: skip
    table, order = _table(found, samples, settings)
    return DMDResult(
        table, settings, looks=_looks(found.modes, order, samples), estimator=found.estimator
    )


# What is told ----------------------------------------------------------------------------------


def _table(
    found: Found, samples: Samples, settings: Mapping[str, Any]
) -> tuple[xr.Dataset, NDArray[np.intp]]:
    """The table, and the order of its modes."""
    modes, level = found.modes, settings["confidence_level"]
    order = np.lexsort((modes.rates.imag, -modes.rates.real))
    rate, turn = modes.rates.real[order], np.abs(modes.rates.imag[order])
    q = normal_quantile(level)
    sd, turn_sd = modes.rate_sd[order], modes.turn_sd[order]
    low, high = rate - q * sd, rate + q * sd
    tau, tau_ci = time_constants(rate, low, high)
    frequency = turn / (2 * np.pi)
    turn_ci = np.maximum(delta_interval(turn, turn_sd, level), 0.0) / (2 * np.pi)
    size = np.linalg.norm(modes.looks[order], axis=1)
    size_ci = np.maximum(delta_interval(size, modes.size_sd[order], level), 0.0)
    if not found.sized:
        size = np.full(len(order), np.nan)
    known = np.isfinite(sd)
    duration = float(samples.clock.max())
    stays = np.abs(rate) * duration < _STAYS
    status = np.full(len(order), str(Status.OK), dtype=object)
    status[np.where(known, high >= 0, stays)] = SLOW
    status[np.where(known, low > 0, (rate > 0) & ~stays)] = GROWS
    status[(tau < settings["dt"]) | (frequency > _NEAR * found.fastest)] = NOT_RESOLVED
    status[~modes.paired[order]] = UNPAIRED
    reasons = {} if found.interval == "" else {
        "time_constant": "no time constant where the mode grows",
        "frequency": "a mode with a real eigenvalue does not swing",
    }  # fmt: skip
    if not found.sized:
        reasons["amplitude"] = "modes of a system that is forced have no size of their own"
    changes: dict[str, Any] = {"method": f"{_METHOD}; {found.interval}"} if found.interval else {}
    shown = {
        "time_constant": (tau, tau_ci), "frequency": (frequency, turn_ci),
        "amplitude": (size, size_ci), "rate": (rate, np.stack([low, high], -1)),
    }  # fmt: skip
    estimates: list[Estimate] = []
    for quantity in DMDResult._quantities:
        value, ci = shown[quantity.name]
        own = {"units": settings["data_units"]} if quantity.units == OF_DATA else {}
        reason = reasons.get(quantity.name, found.no_interval)
        estimates.append(quantity.of(value, ci, reason=reason, **own, **changes))
    coords: dict[Any, Any] = {"mode": np.arange(len(order))}
    if settings["method"] == "multiresolution":
        coords["level"] = (
            "mode", modes.level[order], {"units": "1", "long_name": "level of the window"}
        )  # fmt: skip
        coords["t_start"] = (
            "mode", modes.start[order], {"units": "s", "long_name": "start of the window"}
        )  # fmt: skip
    table = to_dataset(
        estimates, confidence_level=level, coords=coords, status=status.astype(str),
        status_dims=("mode",), remedies=_REMEDIES,
    )  # fmt: skip
    return table, order


def _looks(modes: Modes, order: NDArray[np.intp], samples: Samples) -> xr.Dataset:
    looks = modes.looks[order]
    shape = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-300)
    parts = np.stack([shape.real, shape.imag], -1)
    return xr.Dataset(
        {
            "shape": (
                ("mode", "unit", "part"), parts,
                {"units": "1", "long_name": "shape of the mode"},
            )
        },
        coords={
            "mode": np.arange(len(order)), "unit": samples.unit, "part": ["real", "imaginary"]
        },
    )  # fmt: skip
