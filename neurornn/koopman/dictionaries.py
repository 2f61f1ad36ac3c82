"""Dictionaries: functions of the states, for linear maps and conserved quantities."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_numbers
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest

Array = NDArray[np.float64]

KINDS = ("polynomial", "trigonometric", "log", "radial")
#: More functions than this are refused: the time grows with their cube.
MAX_TERMS = 2000
#: Step of a difference quotient over the sd of a variable.
_STEP = 1e-4


class Term(NamedTuple):
    """One function of the states.

    Attributes
    ----------
    kind : ``"power"``, ``"sin"``, ``"cos"``, ``"log"``, ``"radial"`` or ``"given"``.
    numbers : exponents of the variables; number of the variable and wave number; number of the
        variable; centre and width; number of the value that the given function returns.
    """

    kind: str
    numbers: tuple[float, ...]


class Dictionary:
    """Functions of the states, each with a name.

    Parameters
    ----------
    terms : the functions.
    labels : names of the variables.
    given : a function of states (..., variable) -> (..., value), for terms of kind ``"given"``.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        labels: Sequence[str],
        given: Callable[[Array], Any] | None = None,
    ) -> None:
        self.terms, self.labels, self.given = tuple(terms), tuple(labels), given

    def __len__(self) -> int:
        """Return the number of functions."""
        return len(self.terms)

    @property
    def names(self) -> list[str]:
        """How the functions are written."""
        return [_written(t, self.labels) for t in self.terms]

    @property
    def degrees(self) -> Array:
        """How far each function is from a plain variable, for what is called simple."""
        return np.array(
            [sum(t.numbers) if t.kind == "power" else 2.0 for t in self.terms], dtype=float
        )

    def pick(self, which: Sequence[int]) -> "Dictionary":
        """Return some of the functions."""
        return Dictionary([self.terms[k] for k in which], self.labels, self.given)

    def __call__(self, states: Array) -> Array:
        """Values at states (..., variable): (..., term)."""
        if states.shape[-1] != len(self.labels):
            raise ShapeError(
                f"The states have {states.shape[-1]} variables",
                f"The {len(self.labels)} variables of the fit were needed: "
                f"{', '.join(self.labels[:8])}",
                "Pass them along the last axis, in the order of the fit",
            )
        out = np.empty((*states.shape[:-1], len(self.terms)))
        powers = _powers(self.terms, states)
        values = None
        for k, (kind, numbers) in enumerate(self.terms):
            if kind == "power":
                column = np.ones(states.shape[:-1])
                for v, e in enumerate(numbers):
                    if e:
                        column = column * powers[v][int(e)]
                out[..., k] = column
            elif kind in ("sin", "cos"):
                turn = numbers[1] * states[..., int(numbers[0])]
                out[..., k] = np.sin(turn) if kind == "sin" else np.cos(turn)
            elif kind == "log":
                out[..., k] = np.log(np.maximum(states[..., int(numbers[0])], 1e-300))
            elif kind == "radial":
                away = np.sum((states - np.array(numbers[:-1])) ** 2, axis=-1)
                out[..., k] = np.exp(-away / (2 * numbers[-1] ** 2))
            else:
                if values is None:
                    values = self._values(states)
                out[..., k] = values[..., int(numbers[0])]
        return out

    def _values(self, states: Array) -> Array:
        assert self.given is not None
        found = np.asarray(check_numbers(self.given(states), "what the dictionary returned"))
        if found.shape[:-1] != states.shape[:-1]:
            raise ShapeError(
                f"The dictionary returned shape {found.shape} for states {states.shape}",
                "One row of values for each state, (..., value), was needed",
                "Work along the last axis: lambda x: np.stack([x[..., 0] ** 2], -1)",
            )
        return found

    def slopes(self, states: Array, variable: int) -> tuple[Array, Array]:
        """First and second derivative of every function in one variable, by differences."""
        step = _STEP * max(float(np.std(states[..., variable])), 1e-12)
        up, down = states.copy(), states.copy()
        up[..., variable] += step
        down[..., variable] -= step
        high, low = self(up), self(down)
        return (high - low) / (2 * step), (high + low - 2 * self(states)) / step**2

    def to_settings(self) -> dict[str, Any]:
        """Plain values that make it again.

        Raises
        ------
        KindError
            It holds a function of the user.
        """
        if self.given is not None:
            raise KindError(
                "The dictionary is a function, which no file keeps",
                "A dictionary by name was needed to save",
                f"Use one of {', '.join(KINDS)}, or save parameters with to_dataset()",
            )
        return {"labels": list(self.labels), "terms": [[t.kind, *t.numbers] for t in self.terms]}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Dictionary":
        """Make it again from `to_settings`."""
        terms = [Term(str(t[0]), tuple(float(n) for n in t[1:])) for t in settings["terms"]]
        return cls(terms, settings["labels"])


def make_dictionary(
    kind: Any,
    states: Array,
    labels: Sequence[str],
    *,
    degree: int = 3,
    n_centres: int = 50,
    constant: bool = True,
    rng: np.random.Generator | None = None,
) -> Dictionary:
    """Make a dictionary.

    Parameters
    ----------
    kind : ``"polynomial"`` up to `degree`; ``"trigonometric"``, sine and cosine of every variable;
        ``"log"`` of every variable that is positive everywhere; ``"radial"``, Gaussian bumps
        around `n_centres` of the states; ``"auto"``, the first three; several of these; or a
        function of states (..., variable) -> (..., value).
    states : (state, variable), those of the fit.
    labels : names of the variables.
    degree : of the polynomials.
    constant : begin with the function 1.

    Raises
    ------
    NameUnknownError, KindError, DataError
        A name that is not known; more functions than can be fitted.
    """
    n = len(labels)
    if callable(kind):
        size = Dictionary([], labels, kind)._values(states[:1]).shape[-1]
        head = [Term("power", (0.0,) * n)] if constant else []
        return Dictionary(
            [*head, *(Term("given", (float(k),)) for k in range(size))], labels, kind
        )
    kinds = list(kind) if isinstance(kind, list | tuple) else [kind]
    if kinds == ["auto"]:
        kinds = list(KINDS[:3])
    terms: list[Term] = [Term("power", (0.0,) * n)] if constant else []
    for one in kinds:
        if one not in KINDS:
            if not isinstance(one, str):
                raise KindError(
                    f"The dictionary is a {type(one).__name__}",
                    f"A name ({', '.join(KINDS)}), several of them or a function was needed",
                    'Pass dictionary="polynomial"',
                )
            raise NameUnknownError(
                f"The dictionary is {one!r}",
                f"One of {', '.join(KINDS)}, auto or a function was needed",
                nearest(one, (*KINDS, "auto")),
            )
        terms += _terms(one, states, n, degree, n_centres, rng)
        if len(terms) > MAX_TERMS:
            raise DataError(
                f"The dictionary has {len(terms)} functions of {n} variables",
                f"At most {MAX_TERMS} were needed",
                "Lower the degree, or project the states on fewer axes first",
            )
    return Dictionary(terms, labels)


def _terms(
    kind: str,
    states: Array,
    n: int,
    degree: int,
    n_centres: int,
    rng: np.random.Generator | None,
) -> list[Term]:
    if kind == "polynomial":
        degree = check_count(degree, "degree")
        size = math.comb(n + degree, degree)
        if size > MAX_TERMS:
            raise DataError(
                f"Polynomials of {n} variables up to degree {degree} are {size} functions",
                f"At most {MAX_TERMS} were needed",
                "Lower the degree, or project the states on fewer axes first",
            )
        found = []
        for d in range(1, degree + 1):
            for chosen in combinations_with_replacement(range(n), d):
                exponents = np.bincount(chosen, minlength=n)
                found.append(Term("power", tuple(float(e) for e in exponents)))
        return found
    if kind == "trigonometric":
        return [Term(k, (float(v), 1.0)) for v in range(n) for k in ("sin", "cos")]
    if kind == "log":
        positive = states.min(axis=0) > 0
        return [Term("log", (float(v),)) for v in np.flatnonzero(positive)]
    draw = rng if rng is not None else np.random.default_rng(0)
    size = min(check_count(n_centres, "n_centres"), len(states))
    centres = states[np.sort(draw.choice(len(states), size, replace=False))]
    away = np.sqrt(np.sum((centres[:, None] - centres) ** 2, axis=-1))
    # As wide as centres are apart, so that bumps overlap.
    width = float(np.median(away[away > 0])) if (away > 0).any() else 1.0
    return [Term("radial", (*(float(c) for c in centre), width)) for centre in centres]


def _powers(terms: Sequence[Term], states: Array) -> dict[int, list[Array]]:
    found: dict[int, list[Array]] = {}
    for v in range(states.shape[-1]):
        top = max((int(t.numbers[v]) for t in terms if t.kind == "power"), default=0)
        powers = [np.ones(states.shape[:-1])]
        for _ in range(top):
            powers.append(powers[-1] * states[..., v])
        found[v] = powers
    return found


def _written(term: Term, labels: Sequence[str]) -> str:
    kind, numbers = term
    if kind == "power":
        parts = [
            labels[v] if e == 1 else f"{labels[v]}^{int(e)}" for v, e in enumerate(numbers) if e
        ]
        return " ".join(parts) or "1"
    if kind in ("sin", "cos"):
        inside = labels[int(numbers[0])]
        return f"{kind}({inside})" if numbers[1] == 1 else f"{kind}({numbers[1]:g} {inside})"
    if kind == "log":
        return f"log({labels[int(numbers[0])]})"
    if kind == "radial":
        return "bump(" + ", ".join(f"{c:.3g}" for c in numbers[:-1]) + ")"
    return f"f{int(numbers[0])}"
