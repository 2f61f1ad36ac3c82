"""DNA, RNA and protein: genes, splice sites, mutations and variants."""
