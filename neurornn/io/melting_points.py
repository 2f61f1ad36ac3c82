"""Melting points of proteins in a table, joined by accession with the proteomes of a folder."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neurornn._core.errors import FileFormatError, FileMissingError
from neurornn.io.fasta import read_fasta
from neurornn.io.sources import check_source, explained

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

_COLUMNS = ("accession", "Tm", "species")
#: Name of a record of UniProt: data bank, accession, entry.
_UNIPROT = re.compile(r"(?:sp|tr)\|([A-Z0-9-]+)\|")
_FASTA = (".fa", ".fasta", ".faa")


def read_melting_points(
    folder: str | os.PathLike[str], *, table: str = "lysate.csv.gz", proteomes: str = "fasta"
) -> "SequenceSet":
    r"""Read proteins with their melting points and species.

    Parameters
    ----------
    folder : for example ``nr.fetch("meltome")``.
    table : in it, CSV, plain or gzipped, with the columns ``accession``, ``Tm`` (degC) and
        ``species``; others are passed over. An accession of several rows of one species gets
        their mean.
    proteomes : folder in it, FASTA files, plain or gzipped, whose records are called by accession
        or as UniProt does (``sp|P13445|RPOS_ECOLI``).

    Returns
    -------
    SequenceSet
        Proteins of the table whose letters are in the proteomes, in the order of these, called by
        their accession, with ``labels["tm"]`` (degC) and ``groups["species"]``.

    Raises
    ------
    FileMissingError, FileFormatError
        No such folder or table, a column that is missing, a melting point that is no number, an
        accession with two species, or no accession that both have.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> home = pathlib.Path(tempfile.mkdtemp())
    >>> (home / "fasta").mkdir()
    >>> letters = ">sp|P1|A_B\nMKV\n>sp|P2|C_D\nMLE\n"
    >>> _ = (home / "fasta" / "some.fasta").write_text(letters)
    >>> _ = (home / "tm.csv").write_text("accession,Tm,species\nP2,48.5,yeast\nP9,40,yeast\n")
    >>> proteins = read_melting_points(home, table="tm.csv")
    >>> proteins.names.tolist(), proteins[0], proteins.labels["tm"].tolist()
    (['P2'], 'MLE', [48.5])
    """
    home = check_source(folder, folder=True)
    source = check_source(home / table)
    with explained(source, "a table of melting points"):
        rows = pd.read_csv(source)
    missing = [c for c in _COLUMNS if c not in rows.columns]
    if missing:
        raise FileFormatError(
            f"{source.name} has the columns {', '.join(map(str, rows.columns[:8]))}",
            f"Columns {', '.join(_COLUMNS)} were needed",
            f"Rename what stands for {', '.join(missing)}",
        )
    tm = pd.to_numeric(rows["Tm"], errors="coerce")
    if not np.isfinite(tm).all():
        first = int(np.flatnonzero(~np.isfinite(tm))[0])
        raise FileFormatError(
            f"Row {first + 2} of {source.name} has Tm {rows['Tm'].iloc[first]!r}",
            "A number, degC, was needed in every row",
            "Leave rows without a melting point out",
        )
    known = (
        rows.assign(Tm=tm)
        .groupby("accession")
        .agg({"Tm": "mean", "species": ["first", "nunique"]})
    )
    known.columns = pd.Index(["tm", "species", "n_species"])
    if (known["n_species"] > 1).any():
        name = known.index[known["n_species"] > 1][0]
        raise FileFormatError(
            f"Accession {name} of {source.name} has several species",
            "One species for each accession was needed",
            "Number the accessions by species",
        )
    found, names = [], []
    for path in _files(home / proteomes):
        sequences = read_fasta(path, alphabet="protein", lazy=False)
        accessions = [_accession(n) for n in sequences.names.tolist()]
        keep = [k for k, a in enumerate(accessions) if a in known.index]
        found.append([sequences[k] for k in keep])
        names.append([accessions[k] for k in keep])
    accession = [a for part in names for a in part]
    if not accession:
        raise FileFormatError(
            f"None of the {len(known)} accessions of {source.name} is in {proteomes}",
            "Proteomes of these proteins were needed",
            "Accessions are compared as they stand; isoforms (P1-2) are other ones",
        )
    from neurornn.data.sequence_sets import SequenceSet

    chosen = known.loc[accession]
    return SequenceSet.from_sequences(
        accession,
        [s for part in found for s in part],
        "protein",
        labels={"tm": chosen["tm"].to_numpy(float)},
        groups={"species": chosen["species"].to_numpy(str)},
    )


def _files(folder: Path) -> list[Path]:
    if folder.is_dir():
        paths = sorted(p for p in folder.iterdir() if p.name.removesuffix(".gz").endswith(_FASTA))
        if paths:
            return paths
    raise FileMissingError(
        f"{folder} holds no FASTA file" if folder.is_dir() else f"{folder} is no folder",
        f"Proteomes, {', '.join(_FASTA)}, plain or gzipped, were needed",
        "Pass proteomes=, the name of their folder",
    )


def _accession(name: str) -> str:
    found = _UNIPROT.match(name)
    return found.group(1) if found else name
