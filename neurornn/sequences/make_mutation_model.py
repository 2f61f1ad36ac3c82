"""Train the model that is shipped, ``python -m neurornn.sequences.make_mutation_model FOLDER``.

FOLDER is that of the set ``megascale_evostability`` of the registry: single substitutions in 107
domains, and their families. The model is written beside this file.
"""

import argparse
from pathlib import Path

import pandas as pd

import neurornn as nr
from neurornn.sequences.mutation_model import SHIPPED, MutationModel


def main() -> None:
    """Train on all domains, and print what was found in families held out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(SHIPPED))
    given = parser.parse_args()
    found = nr.io.read_fasta(given.folder / "wt_sequences.fasta.gz", alphabet="protein")
    proteins = {name.partition("|")[0]: found[name] for name in found.names}
    variants = nr.io.read_mutations(
        given.folder / "ddg_single_mutants.csv.gz", proteins, value="DDG",
        positive="destabilising", mutation="mutation_fasta", protein="protein_id",
    )  # fmt: skip
    families = pd.read_csv(given.folder / "families.csv").set_index("protein_id")["family"]
    # The seven long proteins of the file belong to no family of the table.
    known = variants["protein"].to_series().isin(families.index).to_numpy()
    variants = variants.isel(variant=known)
    family = families.loc[variants["protein"].values].to_numpy(str)
    model = MutationModel(progress=True).fit(variants, family=family)
    # The folds are told in the table; their rows would be most of the file.
    model.held_out_ = model.held_out_.isel(variant=slice(None, None, 50))
    model.save(given.out)
    print(model.report())


if __name__ == "__main__":
    main()
