"""What comes to `MutationModel`, checked: letters, variants, columns of a table, embeddings."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.sequence_sets import SequenceSet

Embeddings = Mapping[str, NDArray[Any]]


def protein_letters(sequences: Any, name: str) -> list[str]:
    """Letters in upper case; a stop at the end is cut off.

    Parameters
    ----------
    sequences : one or several. name : of the argument, for errors.
    """
    if isinstance(sequences, str):
        sequences = [sequences]
    found = list(sequences)
    if not all(isinstance(s, str) for s in found):
        raise KindError(
            f"{name} holds a {type(next(s for s in found if not isinstance(s, str))).__name__}",
            "Letters of proteins were needed",
            "Pass strings, or a SequenceSet",
        )
    return [str(s).upper().removesuffix("*") for s in found]


def as_variants(wild_types: Any, mutations: Any) -> tuple[list[str], list[str]]:
    """Wild type and text of every variant.

    Parameters
    ----------
    wild_types : (variant,), or one for all. mutations : (variant,), or one.
    """
    if mutations is None or isinstance(wild_types, bytes) or wild_types is None:
        raise KindError(
            f"wild_types is a {type(wild_types).__name__} and mutations a "
            f"{type(mutations).__name__}",
            "Letters of proteins, and mutations such as A123G, were needed",
            "Pass both, or the table of nr.io.read_mutations",
        )
    texts = [mutations] if isinstance(mutations, str) else [str(t) for t in mutations]
    if isinstance(wild_types, str) or (
        isinstance(wild_types, SequenceSet) and len(wild_types) == 1
    ):
        one = wild_types if isinstance(wild_types, str) else wild_types[0]
        wild_types = [one] * len(texts)
    sequences = protein_letters(wild_types, "wild_types")
    if len(sequences) != len(texts):
        raise ShapeError(
            f"{len(sequences)} wild types and {len(texts)} mutations came",
            "A wild type for each mutation, or one for all, was needed",
            "Repeat the sequence for each of its variants",
        )
    return sequences, texts


def variant_columns(table: xr.Dataset, mutations: Any, ddg: Any) -> tuple[Any, Any, Any]:
    """Texts of mutations, values (None where there are none), and wild types of a table.

    Parameters
    ----------
    table : of `io.read_mutations`. mutations, ddg : must not come beside it.
    """
    missing = [n for n in ("wild_type", "mutation") if n not in table]
    if missing or mutations is not None or (ddg is not None):
        raise KindError(
            f"A table came, without {' and '.join(missing)}" if missing
            else "A table and columns came",
            "A table with wild_type, mutation and ddg, or the three columns, was needed",
            "Pass what nr.io.read_mutations gives",
        )  # fmt: skip
    value = table["ddg"].values if "ddg" in table else None
    return (
        [str(m) for m in table["mutation"].values],
        value,
        list(table["wild_type"].values.astype(str)),
    )


def one_protein(sequence: Any) -> str:
    """Return the letters of a protein.

    Parameters
    ----------
    sequence : letters, or a SequenceSet of one.
    """
    if isinstance(sequence, SequenceSet):
        if len(sequence) != 1:
            raise DataError(
                f"{len(sequence)} sequences came", "One protein was needed", "Pass them one by one"
            )
        sequence = sequence[0]
    if not isinstance(sequence, str):
        raise KindError(
            f"sequence is a {type(sequence).__name__}",
            "Letters of a protein were needed",
            "Pass a string, or a SequenceSet of one",
        )
    text = protein_letters([sequence], "sequence")[0]
    if not text:
        raise DataError("The sequence is empty", "Residues were needed", "Check the file")
    return text


def embedding_width(embeddings: Embeddings | None) -> int:
    """Numbers that stand for a residue, 0 without embeddings.

    Parameters
    ----------
    embeddings : wild type -> (residue, number), or None.
    """
    if not embeddings:
        return 0
    first = np.asarray(next(iter(embeddings.values())))
    return int(first.shape[-1]) if first.ndim == 2 else 0


def embedding_of(embeddings: Embeddings | None, sequence: str, width: int) -> NDArray[np.float32]:
    """Return the embedding of a protein, which must fit it.

    Parameters
    ----------
    embeddings : wild type -> (residue, number). sequence : letters. width : numbers of a residue.
    """
    given = None if embeddings is None else embeddings.get(sequence)
    values = None if given is None else np.asarray(given, dtype=np.float32)
    if values is None or values.shape != (len(sequence), width) or not np.isfinite(values).all():
        came = "none" if values is None else f"an array of shape {values.shape}"
        raise DataError(
            f"{came} came as embedding of {sequence[:12]}..., which has {len(sequence)} residues",
            f"Finite numbers, (residue, {width}), were needed, as many as in the training",
            "Pass embeddings={wild type: array} to fit and to predict, or to neither",
        )
    return values
