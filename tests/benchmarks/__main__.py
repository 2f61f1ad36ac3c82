"""Run the benchmarks: print their tables and write them to a page of the documentation."""

import argparse
import importlib.metadata
import platform
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from neurornn._core.report import Table
from tests.benchmarks import (
    allen_league,
    attractors,
    audit_peers,
    audits,
    autoencoders,
    bacterial_genes,
    basins,
    belief,
    belief_filters,
    bifurcations,
    busy_cells,
    calcium_invariance,
    calcium_scale,
    calcium_speed,
    closed_loop,
    co_smoothing,
    conserved,
    continual,
    cycles,
    dead_units,
    decoding,
    decoding_speed,
    encoder,
    fixed_points,
    forecasts,
    foundation,
    gait_emg,
    gated_step,
    gb1,
    gene_structure,
    genome_stream,
    last_stretch,
    latin_square,
    leaky_step,
    long_memory,
    lorenz,
    lyapunov,
    meltome,
    memory,
    memory_choices,
    modes,
    mutagenesis,
    network_tau,
    pairing_distance,
    point_processes,
    population,
    promoter_splits,
    protein_mutations,
    real_dynamics,
    real_populations,
    real_tau,
    realdata,
    rise_times,
    similarity,
    spike_counts,
    spike_rates,
    splice_pairing,
    splice_sites,
    structured_points,
    timescales,
    turbine,
)

SECTIONS = {
    "timescales_short": (
        "intrinsic time constants, short recordings (20 units of 8 Hz, pooled)",
        timescales.COLUMNS,
        timescales.short_rows,
    ),
    "timescales_long": (
        "intrinsic time constants, long recordings (40 units of 8 Hz, pooled)",
        timescales.COLUMNS,
        timescales.long_rows,
    ),
    "timescales_single": (
        "intrinsic time constants of single units, and of many short trials",
        timescales.COLUMNS,
        timescales.single_rows,
    ),
    "timescales_three": (
        "three time constants at once (40 units, 600 s, pooled)",
        timescales.SEVERAL_COLUMNS,
        timescales.three_rows,
    ),
    "timescales_bins": (
        "one recording in bins of four sizes (20 units, 600 s, tau 100 ms)",
        timescales.BIN_COLUMNS,
        timescales.bin_rows,
    ),
    "timescales_null": (
        "time constants claimed where there are none",
        timescales.NULL_COLUMNS,
        timescales.null_rows,
    ),
    "timescales_dead_time": (
        "time constants of units with a dead time of 4 ms (20 units, 60 s, tau 100 ms, pooled)",
        timescales.DEAD_COLUMNS,
        timescales.dead_time_rows,
    ),
    "timescales_speed": (
        "time constants of units recorded for an hour, bins of 20 ms",
        timescales.SPEED_COLUMNS,
        timescales.speed_rows,
    ),
    "real_timescales": (
        "how long real populations remember, pooled and unit by unit",
        real_populations.TAU_COLUMNS,
        real_populations.tau_rows,
    ),
    "real_co_smoothing": (
        "co-smoothing of real populations, bits per spike on trials held out, 5 seeds",
        real_populations.SMOOTHING_COLUMNS,
        real_populations.smoothing_rows,
    ),
    "poisson_dynamics": (
        "linear latent dynamics, three latents in 100 units, 300 s",
        timescales.SEVERAL_COLUMNS,
        timescales.dynamics_rows,
    ),
    "spike_history": (
        "time constants of the past of a neuron, PointProcess (300 s, 13 Hz, 60 seeds)",
        point_processes.TAU_COLUMNS,
        point_processes.tau_rows,
    ),
    "dead_time": (
        "intervals below the dead time, and the KS test, with a past and without",
        point_processes.DEAD_COLUMNS,
        point_processes.dead_time_rows,
    ),
    "rescaling": (
        "the KS test of time rescaling on spikes drawn from the fitted model",
        point_processes.KS_COLUMNS,
        point_processes.ks_rows,
    ),
    "ganglion_cells": (
        "real retinal ganglion cells: fitted on 0-300 s, tested on 300-600 s",
        point_processes.CELL_COLUMNS,
        point_processes.cell_rows,
    ),
    "reaches": (
        "targets of planned reaches by likelihood, five folds",
        point_processes.REACH_COLUMNS,
        point_processes.reach_rows,
    ),
    "glm_speed": (
        "GLM of four coupled cells, 300 s at 1 ms, beside peers on the same design",
        point_processes.SPEED_COLUMNS,
        point_processes.speed_rows,
    ),
    "glm_hour": (
        "an hour of 500 units at 1 ms: PSTH, counts, GLM of one unit with coupling to all",
        point_processes.HOUR_COLUMNS,
        point_processes.hour_rows,
    ),
    "spike_definitions": (
        "definitions against the published ones",
        point_processes.DEFINITION_COLUMNS,
        point_processes.definition_rows,
    ),
    "few_shot_co_smoothing": (
        "three latents and eight on the spikes of a flip-flop network, bits per spike",
        co_smoothing.FEW_COLUMNS,
        co_smoothing.few_shot_rows,
    ),
    "co_smoothing_definitions": (
        "scores of populations beside nlb_tools on the same arrays (SmoothedRates, 80 trials)",
        co_smoothing.COLUMNS,
        co_smoothing.rows,
    ),
    "spikes_given": (
        "tau from the weight of a one-unit LeakyRNN, spikes given (tau .5 s, 30 Hz, 60 seeds)",
        foundation.COLUMNS,
        foundation.spikes_given,
    ),
    "spikes_unknown": (
        "tau from fluorescence alone, Kinetics, no rise (tau .5 s, 30 Hz, 60 seeds)",
        foundation.COLUMNS,
        foundation.spikes_unknown,
    ),
    "rise_times": (
        "the rise of the double exponential (decay .5 s, 30 Hz, 300 s), 100 traces a row",
        rise_times.COLUMNS,
        rise_times.rows,
    ),
    "latin_square": (
        "tau with a rise, twenty-four kinds of cells, against the Cramer-Rao bound",
        latin_square.COLUMNS,
        latin_square.rows,
    ),
    "busy_cells": (
        "busy cells and bursts, Kinetics: what is called ok, and what its intervals miss (SNR 8)",
        busy_cells.COLUMNS,
        busy_cells.rows,
    ),
    "joined_parts": (
        "recordings in parts with steps between them, Kinetics (tau .8 s, .3 Hz, SNR 8, 40 cells)",
        busy_cells.JOINED_COLUMNS,
        busy_cells.joined_rows,
    ),
    "population": (
        "one tau for 20 cells from fluorescence, CalciumRNN (tau .5 s, rise .05 s, 30 Hz, SNR 5)",
        population.COLUMNS,
        population.rows,
    ),
    "real_tau": (
        "real cells with known spikes, 30 Hz: tau found blind against tau from the spikes",
        real_tau.COLUMNS,
        real_tau.rows,
    ),
    "spike_rates": (
        "real cells with known spikes, 30 Hz: inferred rate against recorded spikes, medians",
        spike_rates.COLUMNS,
        spike_rates.rows,
    ),
    "spike_counts": (
        "real cells with known spikes, 30 Hz: spikes inferred from event sizes, medians",
        spike_counts.COLUMNS,
        spike_counts.rows,
    ),
    "calcium_speed": (
        "milliseconds of a whole fit of 30,000 frames beside oasis-deconv, interleaved",
        calcium_speed.COLUMNS,
        calcium_speed.rows,
    ),
    "calcium_scale": (
        "10,000 cells on disk, read lazily: time and memory of the whole process tree",
        calcium_scale.COLUMNS,
        calcium_scale.rows,
    ),
    "calcium_invariance": (
        "what must not move tau: order, chunks, unit, silence, frames averaged",
        calcium_invariance.COLUMNS,
        calcium_invariance.rows,
    ),
    "leaky_step": (
        "a training step of LeakyRNN beside torch's RNN and the loop of peers, one thread",
        leaky_step.COLUMNS,
        leaky_step.rows,
    ),
    "encoder": (
        "letters to one-hot, one core",
        encoder.COLUMNS,
        encoder.rows,
    ),
    "gated_step": (
        "a training step of GRU and LSTM beside torch's own, one thread",
        gated_step.COLUMNS,
        gated_step.rows,
    ),
    "continual_tasks": (
        "four tasks learned one after the other: what is left of the earlier ones, 5 seeds",
        continual.TASK_COLUMNS,
        continual.task_rows,
    ),
    "continual_overlap": (
        "what a step will cost an earlier task, foreseen before the step",
        continual.OVERLAP_COLUMNS,
        continual.overlap_rows,
    ),
    "continual_decoding": (
        "a decoder trained again in each quarter, a fifth of the units replaced in between",
        continual.DECODING_COLUMNS,
        continual.decoding_rows,
    ),
    "continual_speed": (
        "a training step with each remedy over the plain step, one thread",
        continual.SPEED_COLUMNS,
        continual.speed_rows,
    ),
    "memory_lags": (
        "cells of equal size against lag: share of cues told right, 5 seeds",
        memory.LAG_COLUMNS,
        memory.lag_rows,
    ),
    "memory_chrono": (
        "gates that start in time at a lag of 1000 steps",
        memory.CHRONO_COLUMNS,
        memory.chrono_rows,
    ),
    "memory_stream": (
        "one more step of a stream against attention, one thread",
        memory.STREAM_COLUMNS,
        memory.stream_rows,
    ),
    "memory_choices": (
        "four choices about memory at a lag of 30 steps: share of cues told right, 5 seeds",
        memory_choices.COLUMNS,
        memory_choices.rows,
    ),
    "memory_gait_emg": (
        "gait and EMG: cells of equal size beside ridge on the same memory, 5 seeds",
        gait_emg.COLUMNS,
        gait_emg.rows,
    ),
    "belief_tasks": (
        "decisions under a hidden state: return, and the exact belief read from the state",
        belief.TASK_COLUMNS,
        belief.task_rows,
    ),
    "belief_sepsis": (
        "a course of sepsis: severity read from the state, and what policies gain",
        belief.SEPSIS_COLUMNS,
        belief.sepsis_rows,
    ),
    "belief_speed": (
        "steps of the sepsis task with its exact belief",
        belief.SPEED_COLUMNS,
        belief.speed_rows,
    ),
    "belief_filters": (
        "networks that learned to predict, against the exact filter: log likelihood of a step",
        belief_filters.COLUMNS,
        belief_filters.rows,
    ),
    "turbine": (
        "a wind turbine: power ahead, the twist that nobody measured, the slowest oscillation",
        turbine.COLUMNS,
        turbine.rows,
    ),
    "bacterial_genes": (
        "genes of bacterial genomes that the network never saw, beside Prodigal",
        bacterial_genes.COLUMNS,
        bacterial_genes.rows,
    ),
    "bacterial_calibration": (
        "probabilities of genes, on genomes that the network never saw",
        bacterial_genes.CALIBRATION_COLUMNS,
        bacterial_genes.calibration_rows,
    ),
    "bacterial_codes": (
        "genetic codes of random pieces of 5 kb, told from the sequence",
        bacterial_genes.CODE_COLUMNS,
        bacterial_genes.code_rows,
    ),
    "bacterial_contigs": (
        "E. coli in 200 contigs: genes that touch no end",
        bacterial_genes.CONTIG_COLUMNS,
        bacterial_genes.contig_rows,
    ),
    "bacterial_mirror": (
        "genes of the reverse complement",
        bacterial_genes.MIRROR_COLUMNS,
        bacterial_genes.mirror_rows,
    ),
    "bacterial_speed": (
        "speed of gene finding, from letters to genes, one thread",
        bacterial_genes.SPEED_COLUMNS,
        bacterial_genes.speed_rows,
    ),
    "gene_structure": (
        "genes of exons and introns: trained on one species, tested on another",
        gene_structure.COLUMNS,
        gene_structure.rows,
    ),
    "gene_structure_fly": (
        "genes of exons and introns of the fly",
        gene_structure.COLUMNS,
        gene_structure.fly_rows,
    ),
    "gene_legality": (
        "legality of predicted genes, read by gffutils and Biopython",
        gene_structure.LEGAL_COLUMNS,
        gene_structure.legality_rows,
    ),
    "gene_calibration": (
        "probabilities of coding parts",
        gene_structure.CALIBRATION_COLUMNS,
        gene_structure.calibration_rows,
    ),
    "gene_structure_speed": (
        "genes of exons and introns: CPU time and memory",
        gene_structure.SPEED_COLUMNS,
        gene_structure.speed_rows,
    ),
    "splice_pairing": (
        "the acceptor of each donor, in a species that was never seen (genes, ranked first)",
        splice_pairing.COLUMNS,
        splice_pairing.rows,
    ),
    "splice_pairing_inside": (
        "the acceptor of each donor, in genes held out of the same species",
        splice_pairing.INSIDE_COLUMNS,
        splice_pairing.inside_rows,
    ),
    "splice_pairing_leaks": (
        "introns that the two species share",
        splice_pairing.SHARED_COLUMNS,
        splice_pairing.shared_rows,
    ),
    "pairing_distance": (
        "donors and acceptors far apart, simulated: who still pairs them",
        pairing_distance.COLUMNS,
        pairing_distance.rows,
    ),
    "pairing_horizons": (
        "donors and acceptors far apart, simulated: the horizon beside the distance",
        pairing_distance.HORIZON_COLUMNS,
        pairing_distance.horizon_rows,
    ),
    "bacterial_motifs": (
        "bacterial promoters, short motifs that may lie anywhere: CNN against GRU",
        pairing_distance.MOTIF_COLUMNS,
        pairing_distance.motif_rows,
    ),
    "splice_leaks": (
        "what the tests of splice sites share with their training",
        splice_sites.LEAK_COLUMNS,
        splice_sites.leak_rows,
    ),
    "splice_sites": (
        "splice sites of HS3D told from decoys with the same two letters, auPRC of the test files",
        splice_sites.COLUMNS,
        splice_sites.hs3d_rows,
    ),
    "splice_species": (
        "acceptors of Arabidopsis by what was learned from the worm, auPRC",
        splice_sites.COLUMNS,
        splice_sites.species_rows,
    ),
    "splice_human": (
        "human splice sites in windows of 602 bp, auPRC of five folds",
        splice_sites.COLUMNS,
        splice_sites.human_rows,
    ),
    "splice_calibration": (
        "probabilities of splice sites, on the tests of HS3D",
        splice_sites.CALIBRATION_COLUMNS,
        splice_sites.calibration_rows,
    ),
    "genome_stream": (
        "recurrent networks along DNA, thousands of letters a second beside torch's own layers",
        genome_stream.COLUMNS,
        genome_stream.speed_rows,
    ),
    "genome_memory": (
        "a genome of 4.64 Mb in a stream: memory, and bits that do not depend on the chunks",
        genome_stream.MEMORY_COLUMNS,
        genome_stream.memory_rows,
    ),
    "lorenz_rates": (
        "rates of single trials of a Lorenz population (30 units of 10 Hz), R2 on test trials",
        autoencoders.RATE_COLUMNS,
        autoencoders.rate_rows,
    ),
    "autoencoder_speed": (
        "an epoch of a sequential autoencoder beside the same network in plain torch, in turn",
        autoencoders.SPEED_COLUMNS,
        autoencoders.speed_rows,
    ),
    "network_tau": (
        "time constants of 64 units (10-200 ms) learned with all weights, 200 trials, SNR 10",
        network_tau.COLUMNS,
        network_tau.rows,
    ),
    "three_clocks": (
        "one network simulated at .5 ms, fitted at 5, 10 and 20 ms: units of tau >= 100 ms",
        network_tau.CLOCK_COLUMNS,
        network_tau.clock_rows,
    ),
    "long_memory": (
        "gradient over 100,000 steps, 8 trials, 64 units: memory and exactness",
        long_memory.COLUMNS,
        long_memory.rows,
    ),
    "lorenz": (
        "the Lorenz system from 200 s with 5 % noise, by teacher forcing: the free run of 400 s",
        lorenz.COLUMNS,
        lorenz.rows,
    ),
    "realdata": (
        "every real calcium set: read, kinetics run",
        realdata.COLUMNS,
        realdata.calcium_sets,
    ),
    "allen_league": (
        "real population of mouse V1, 74 cells: who forecasts dF/F one frame and one second ahead",
        allen_league.COLUMNS,
        allen_league.rows,
    ),
    "forecasts": (
        "forecasts of known systems with 1 % noise: a network, Koopman in both ways, linear",
        forecasts.COLUMNS,
        forecasts.rows,
    ),
    "real_leagues": (
        "real recordings forecast one bin and one second ahead, 5 seeds, coarse bins, few epochs",
        forecasts.REAL_COLUMNS,
        forecasts.real_rows,
    ),
    "transformer_cost": (
        "a pass forward and back of a causal Transformer against length, 32 units, 8 trials",
        forecasts.COST_COLUMNS,
        forecasts.cost_rows,
    ),
    "decoding": (
        "decoders on the last 15 % of real recordings, fitted on what comes before",
        decoding.COLUMNS,
        decoding.rows,
    ),
    "linear_track": (
        "position of a rat on a linear track, 200 ms: the last 15 % from what comes before",
        decoding.COLUMNS,
        decoding.track_rows,
    ),
    "left_out_direction": (
        "contdata95 velocity, one of eight directions left out of the training: R2 on its trials",
        decoding.DIRECTION_COLUMNS,
        decoding.direction_rows,
    ),
    "decoder_step": (
        "one bin of a decoder, preparation and watch included, beside other ways to take the step",
        decoding_speed.COLUMNS,
        decoding_speed.step_rows,
    ),
    "stream_and_batch": (
        "every decoder over 100,000 bins: stream, prediction of the whole, a computation apart",
        decoding_speed.BATCH_COLUMNS,
        decoding_speed.batch_rows,
    ),
    "decoder_heap": (
        "what a stream leaves on the heap",
        decoding_speed.HEAP_COLUMNS,
        decoding_speed.heap_rows,
    ),
    "decoder_fit": (
        "fitting contdata95, one thread",
        decoding_speed.FIT_COLUMNS,
        decoding_speed.fit_rows,
    ),
    "dead_units": (
        "a Kalman filter that lost some of 40 units, beside the textbook one without their rows",
        dead_units.COLUMNS,
        dead_units.rows,
    ),
    "last_stretch": (
        "a default fit of 128 trials of 100 steps beside one with refine=False, 3 rounds",
        last_stretch.COLUMNS,
        last_stretch.rows,
    ),
    "flip_flop_points": (
        "fixed points of networks trained on the 3-bit flip-flop (16 units, 10 seeds each)",
        fixed_points.COLUMNS,
        fixed_points.rows,
    ),
    "flip_flop_speed": (
        "time to find them, against Adam from 1024 starts at its best learning rate",
        fixed_points.SPEED_COLUMNS,
        fixed_points.speed_rows,
    ),
    "lyapunov": (
        "Lyapunov exponents of known systems and of random networks, and what intervals hold",
        lyapunov.COLUMNS,
        lyapunov.rows,
    ),
    "conserved_laws": (
        "conserved quantities from 40 noisy trajectories, one dictionary: against the true law",
        conserved.LAW_COLUMNS,
        conserved.law_rows,
    ),
    "conserved_nine": (
        "laws of nine systems from 100 trajectories with noise .1, 20 seeds",
        conserved.COUNT_COLUMNS,
        conserved.nine_rows,
    ),
    "conserved_null": (
        "laws claimed of systems that lose energy, and of the same without loss, noise .05",
        conserved.NULL_COLUMNS,
        conserved.null_rows,
    ),
    "conserved_several": (
        "several laws, and functions of one, noise .05, 100 runs",
        conserved.SEVERAL_COLUMNS,
        conserved.several_rows,
    ),
    "similarity": (
        "dynamical similarity of two sessions of one network, and of two; 200 pairs each",
        similarity.COLUMNS,
        similarity.rows,
    ),
    "similarity_units": (
        "one system seen by other units: distance, and spectra compared; 40 pairs",
        similarity.UNITS_COLUMNS,
        similarity.units_rows,
    ),
    "slow_manifold": (
        "eigenvalues of the slow manifold under 5 % noise, 100 seeds: median errors",
        conserved.SLOW_COLUMNS,
        conserved.slow_rows,
    ),
    "modes": (
        "modes with intervals beside optimised DMD: damped oscillations, 300 seeds",
        modes.COLUMNS,
        modes.accuracy_rows,
    ),
    "edmd_closure": (
        "do the functions of an EDMD close? 200 data sets each",
        modes.CLOSURE_COLUMNS,
        modes.closure_rows,
    ),
    "modes_speed": (
        "a fit of modes with intervals beside 100 bags of BOP-DMD, in turn, 10 seeds",
        modes.SPEED_COLUMNS,
        modes.speed_rows,
    ),
    "modes_scale": (
        "modes of a large recording, rank 10, 4 delays, in a process of its own",
        modes.SCALE_COLUMNS,
        modes.scale_rows,
    ),
    "dense_points": (
        "fixed points of dense symmetric networks of 64 units, beside Adam in the same CPU time",
        fixed_points.DENSE_COLUMNS,
        fixed_points.dense_rows,
    ),
    "low_rank_points": (
        "fixed points of networks of rank 2, in all units and in the latent space",
        structured_points.LOW_RANK_COLUMNS,
        structured_points.low_rank_rows,
    ),
    "relu_points": (
        "fixed points of threshold-linear and random ReLU networks",
        structured_points.PIECES_COLUMNS,
        structured_points.pieces_rows,
    ),
    "real_dynamics": (
        "what networks fitted to real recordings do: a decoder of reaching, a visual population",
        real_dynamics.COLUMNS,
        real_dynamics.rows,
    ),
    "ring_attractors": (
        "a ring network, exact and with 1 % noise in its weights: what it is called, and drift",
        attractors.RING_COLUMNS,
        attractors.ring_rows,
    ),
    "line_attractors": (
        "networks that learned to hold a value for 1 s: the error of the memory, predicted",
        attractors.LINE_COLUMNS,
        attractors.line_rows,
    ),
    "bifurcations": (
        "fixed points of the flip-flop over 201 values of an input: continuation and searches",
        bifurcations.COLUMNS,
        bifurcations.rows,
    ),
    "basins": (
        "which state ends where in ReLU networks, 10,000 states each, against plain runs",
        basins.COLUMNS,
        basins.rows,
    ),
    "cycles": (
        "periods and Floquet multipliers from step maps, against a fine integration",
        cycles.COLUMNS,
        cycles.rows,
    ),
    "hopfield_points": (
        "stored states of Hopfield networks (100 units, 5 patterns)",
        structured_points.HOPFIELD_COLUMNS,
        structured_points.hopfield_rows,
    ),
    "closed_loop": (
        "a simulated user and 60 units whose tuning changes in closed loop, 20 seeds of 64 trials",
        closed_loop.COLUMNS,
        closed_loop.rows,
    ),
    "mutagenesis_speed": (
        "every mutant of a window through a network, beside the best batched naive pass",
        mutagenesis.COLUMNS,
        mutagenesis.rows,
    ),
    "ddg_families": (
        "mutations of domains whose family was held out, sequence alone",
        protein_mutations.FAMILY_COLUMNS,
        protein_mutations.family_rows,
    ),
    "ddg_ours": (
        "the same domains and folds, MutationModel",
        protein_mutations.FAMILY_COLUMNS,
        protein_mutations.our_rows,
    ),
    "ddg_intervals": (
        "what 90 % intervals hold in families held out",
        protein_mutations.INTERVAL_COLUMNS,
        protein_mutations.interval_rows,
    ),
    "ddg_points": (
        "point mutants of other proteins, taught by mega-scale alone",
        protein_mutations.POINT_COLUMNS,
        protein_mutations.point_rows,
    ),
    "ddg_scans": (
        "deep mutational scans by split, Spearman correlation",
        protein_mutations.SCAN_COLUMNS,
        protein_mutations.scan_rows,
    ),
    "ddg_gb1": (
        "four sites of GB1 at once by the splits of FLIP, Spearman correlation",
        gb1.COLUMNS,
        gb1.rows,
    ),
    "ddg_speed": (
        "all mutants of a protein at once",
        protein_mutations.SPEED_COLUMNS,
        protein_mutations.speed_rows,
    ),
    "promoter_splits": (
        "promoters told from other DNA: what a split promises, and a species never seen",
        promoter_splits.COLUMNS,
        promoter_splits.rows,
    ),
    "meltome_audit": (
        "melting points of three species: what composition and species tell",
        meltome.AUDIT_COLUMNS,
        meltome.audit_rows,
    ),
    "meltome_species": (
        "melting points in a species never seen, and the species in the features",
        meltome.COLUMNS,
        meltome.rows,
    ),
    "meltome_curve": (
        "melting points in a species never seen, by the number of species in the training",
        meltome.CURVE_COLUMNS,
        meltome.curve_rows,
    ),
    "audit_peers": ("our audit beside seqleak", audit_peers.COLUMNS, audit_peers.rows),
    "audits": ("audits of public sets", audits.COLUMNS, audits.rows),
}


def main() -> None:
    """Run the sections named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=", ".join(SECTIONS))
    parser.add_argument(
        "--out", type=Path, default=None, help="page in which the sections are written anew"
    )
    parser.add_argument("--traces", type=int, default=40, help="of each kind in latin_square")
    parser.add_argument("--cells", type=int, default=10_000, help="in calcium_scale")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = ("neurornn", "numpy", "scipy", "numba", "torch", "xarray")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    head = f"One thread; Python {platform.python_version()}; {versions}."
    page = _Page(chosen.out, ["# Benchmarks", "", "Written by `make bench`. " + head, ""])
    with threadpool_limits(1):
        for name in chosen.sections:
            title, columns, rows = SECTIONS[name]
            begin = time.perf_counter()
            options = {"latin_square": ("--traces", chosen.traces)}
            options["calcium_scale"] = ("--cells", chosen.cells)
            option, *given = options.get(name, ("",))
            table = Table(title=title, columns=["", *columns], rows=list(rows(*given)))
            text = table.to_text()
            print(f"{text}\n({name}: {time.perf_counter() - begin:.0f} s)\n", flush=True)
            command = f"python -m tests.benchmarks {name}"
            command += f" {option} {given[0]}" if given else ""
            # After every section, so that what was measured is not lost with a later one.
            page.put(title, [f"`{command}`", "", "```text", text, "```", ""])


class _Page:
    """The page of benchmarks; sections that are not run again keep what they said."""

    def __init__(self, path: Path | None, head: list[str]) -> None:
        self.path, self.head = path, head
        self.sections: dict[str, list[str]] = {}
        if path is not None and path.exists():
            for part in path.read_text().split("\n## ")[1:]:
                title, _, body = part.partition("\n")
                self.sections[title] = body.strip("\n").split("\n") + [""]

    def put(self, title: str, body: list[str]) -> None:
        """Set one section and write the page, sections in their order."""
        self.sections[title] = body
        if self.path is None:
            return
        order = [t for t, *_ in SECTIONS.values() if t in self.sections]
        lines = list(self.head)
        for t in order:
            lines += [f"## {t}", "", *self.sections[t]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
