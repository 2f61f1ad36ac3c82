"""DNA, RNA and protein: genes, splice sites, mutations and variants."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "bacterial_genes": ["BacterialGenes"],
        "genes": ["Genes"],
        "held_out_genomes": ["score_held_out_genomes"],
        "splice_sites": ["SpliceSites"],
        "stream_weights": ["StreamWeights"],
        "streaming": ["stream"],
    },
)
