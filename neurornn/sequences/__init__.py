"""DNA, RNA and protein: genes, splice sites, mutations and variants."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "bacterial_genes": ["BacterialGenes"],
        "gene_structure": ["GeneStructure"],
        "genes": ["Genes"],
        "held_out_genomes": ["score_held_out_genomes"],
        "mutagenesis": ["mutate_all"],
        "mutation_agreement": ["agreement"],
        "mutation_model": ["MutationModel"],
        "pairing_memory": ["memory_against_distance"],
        "splice_pairing": ["SplicePairing"],
        "splice_sites": ["SpliceSites"],
        "spliced_genes": ["SplicedGenes"],
        "stability": ["StabilityModel"],
        "stability_curve": ["species_curve"],
        "stream_weights": ["StreamWeights"],
        "streaming": ["stream"],
        "variant_scores": ["variant_effects"],
    },
)
