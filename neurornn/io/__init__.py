"""Files in and out: one reader per format, one door for all, one format to save in."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "annotation": ["annotated"],
        "bed": ["read_bed"],
        "caiman": ["read_caiman"],
        "delimited": ["read_delimited", "write_csv"],
        "exon_intron_exon": ["read_exon_intron_exon"],
        "fasta": ["read_fasta"],
        "melting_points": ["read_melting_points"],
        "genbank": ["read_genbank"],
        "gff": ["read_gff"],
        "gff_writer": ["write_gff3"],
        "hdf5": ["read_hdf5"],
        "matlab": ["read_matlab"],
        "minian": ["read_minian"],
        "mutation_tables": ["read_mutations"],
        "netcdf": ["read_netcdf", "read_zarr", "write_netcdf"],
        "numpy_files": ["read_npy", "read_npz"],
        "nwb": ["read_nwb"],
        "nwb_writer": ["write_nwb"],
        "open_file": ["detect_format", "open", "reader_options"],
        "phy": ["read_phy"],
        "registry": ["fetch", "list_datasets", "read_card"],
        "saved": ["Saved", "SavedContent", "load", "read_saved", "write_saved"],
        "suite2p": ["read_suite2p"],
        "trodes": ["read_trodes"],
        "two_bit": ["read_two_bit"],
        "vcf": ["read_vcf"],
        "vendor": ["read_vendor"],
    },
)
