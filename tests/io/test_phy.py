import tracemalloc

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, ShapeError, UnitError, UnitWarning
from neurornn.data import spike_trains
from neurornn.io import detect_format

RATE = 30000.0
#: Sample and cluster of each spike.
SAMPLES = np.array([300, 900, 1500, 1501, 3000, 4500, 6000, 36_000_007], np.int64)
CLUSTERS = np.array([0, 2, 0, 7, 2, 5, 0, 7], np.int32)
PARAMS = (
    "n_channels_dat = 4\noffset = 0\nsample_rate = 30000.0\ndtype = 'int16'\n"
    "hp_filtered = False\ndat_path = ['a.bin', 'b.bin']\n"
)


def expected(cluster, rate=RATE):
    return SAMPLES[cluster == CLUSTERS] / rate


def table(path, head, rows):
    path.write_text("\n".join("\t".join(map(str, row)) for row in (head, *rows)) + "\n")


@pytest.fixture
def folder(tmp_path):
    """A folder as Kilosort 4 leaves it, of which nothing was curated yet."""
    made = tmp_path / "kilosort4"
    made.mkdir()
    np.save(made / "spike_times.npy", SAMPLES)
    np.save(made / "spike_clusters.npy", CLUSTERS)
    np.save(made / "spike_templates.npy", CLUSTERS)
    np.save(made / "amplitudes.npy", np.ones(8))
    # One for each spike that was found, of which duplicates were taken out afterwards.
    np.save(made / "kept_spikes.npy", np.array([True, False, *[True] * 7]))
    (made / "params.py").write_text(PARAMS)
    labels = [(0, "good"), (2, "mua"), (5, "good"), (7, "mua")]
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        table(made / name, ("cluster_id", "KSLabel"), labels)
    return made


def check(recording, units=(0, 2, 5, 7), rate=RATE):
    assert recording["unit"].values.tolist() == list(units)
    # Both are one division of the same two numbers.
    assert all(map(np.array_equal, spike_trains(recording), [expected(u, rate) for u in units]))


@pytest.mark.parametrize(
    "name", ["", "spike_times.npy", "params.py", "spike_clusters.npy", "spike_templates.npy"]
)
def test_times_units_and_kinds_of_kilosort_4(folder, name):
    assert detect_format(folder / name) == "phy"
    recording = nr.open(folder / name)
    check(recording)
    assert recording["unit_kind"].values.tolist() == ["sorted", "multi-unit"] * 2
    assert recording["KSLabel"].values.tolist() == ["good", "mua"] * 2
    assert "group" not in recording.coords and "not_read" not in recording.attrs
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (0.0, SAMPLES[-1] / RATE)
    assert "how long the file is" in recording["stop"].attrs["chosen"]
    assert "first sample of the file that was sorted, at 30000 Hz" in recording.attrs["clock"]
    assert recording.attrs["format"] == "phy"
    good = nr.data.select_units(recording, recording["unit_kind"].values == "sorted")
    check(good, (0, 5))


@pytest.mark.parametrize("kind", [np.uint64, np.int64, np.uint32, np.float64])
def test_columns_and_types_of_matlab(folder, kind):
    np.save(folder / "spike_times.npy", SAMPLES.astype(kind)[:, None])
    np.save(folder / "spike_clusters.npy", CLUSTERS.astype(np.uint32)[:, None])
    np.save(folder / "spike_templates.npy", CLUSTERS.astype(np.uint32)[:, None])
    check(nr.open(folder))


@pytest.mark.parametrize("numbers", [(3, 3 + 2**16, 5, 2**20), (-1, 0, 1, 2)])
def test_numbers_of_clusters_may_be_large_or_negative(folder, numbers):
    np.save(
        folder / "spike_clusters.npy", np.array(numbers)[np.searchsorted((0, 2, 5, 7), CLUSTERS)]
    )
    recording = nr.open(folder)
    assert recording["unit"].values.tolist() == sorted(numbers)
    found = dict(zip(recording["unit"].values.tolist(), spike_trains(recording), strict=True))
    assert all(
        np.array_equal(found[n], expected(u)) for n, u in zip(numbers, (0, 2, 5, 7), strict=True)
    )


def test_a_group_that_was_curated_decides_and_noise_stands_apart(folder):
    table(
        folder / "cluster_group.tsv",
        ("cluster_id", "group"),
        [(0, "noise"), (2, "unsorted"), (5, "ripple cell")],
    )
    # As phy writes it, with what is not filled in.
    rows = [(0, "good", "noise", 3), (2, "mua", "unsorted", 2), (7, "mua", "", 2)]
    table(folder / "cluster_info.tsv", ("cluster_id", "KSLabel", "group", "n_spikes"), rows)
    recording = nr.open(folder)
    check(recording, (2, 5, 7))
    assert recording["unit_kind"].values.tolist() == ["unsorted", "not stated", "multi-unit"]
    assert recording["group"].values.tolist() == ["unsorted", "ripple cell", ""]
    assert recording["KSLabel"].values.tolist() == ["mua", "good", "mua"]
    assert recording.attrs["not_read"] == "noise, which noise=True reads: 0 (3 spikes)"
    every = nr.open(folder, noise=True)
    check(every)
    assert every["unit_kind"].values[0] == "noise" and "not_read" not in every.attrs


def test_nothing_but_noise(folder):
    table(folder / "cluster_group.tsv", ("cluster_id", "group"), [(k, "noise") for k in range(9)])
    with pytest.raises(FileFormatError, match=r"nothing but noise: 4 clusters.*noise=True"):
        nr.open(folder)


def test_without_tables_nothing_is_stated(folder):
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        (folder / name).unlink()
    assert set(nr.open(folder)["unit_kind"].values) == {"not stated"}


def test_old_names_and_quality(folder):
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        (folder / name).unlink()
    table(folder / "cluster_groups.csv", ("cluster_id", "group"), [(0, "good"), (2, "mua")])
    table(folder / "cluster_info.tsv", ("id", "quality"), [(5, "good"), (2, "good")])
    recording = nr.open(folder)
    assert recording["unit_kind"].values.tolist() == [
        *("sorted", "multi-unit", "sorted", "not stated")
    ]
    assert recording["quality"].values.tolist() == ["", "good", "good", ""]


def test_clusters_without_spikes_are_named(folder):
    # What was merged in phy keeps its row in the sorter's table.
    rows = [(k, "good") for k in (0, 2, 5, 7, 9, 12)]
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        table(folder / name, ("cluster_id", "KSLabel"), rows)
    recording = nr.open(folder)
    check(recording)
    assert recording.attrs["not_read"] == "labels of clusters that have no spike: 9, 12"


def test_two_tables_that_differ_are_told(folder):
    table(folder / "cluster_group.tsv", ("cluster_id", "group"), [(0, "good")])
    table(folder / "cluster_info.tsv", ("cluster_id", "group"), [(0, "mua")])
    with pytest.warns(UserWarning, match=r"'good' in cluster_group\.tsv and 'mua' in cluster_inf"):
        recording = nr.open(folder)
    assert recording["unit_kind"].values[0] == "sorted"


def test_the_folder_that_one_is_in(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert nr.open(".").attrs["source"] == "kilosort4"
    check(nr.open("params.py"))


def test_without_curation_the_templates_are_the_units(folder):
    (folder / "spike_clusters.npy").unlink()
    check(nr.open(folder))


def test_curated_clusters_win_over_templates(folder):
    np.save(folder / "spike_templates.npy", np.zeros(8, np.int32))
    check(nr.open(folder))


# ------------------------------------------------------------------ channel and depth


def add_places(folder, rng):
    """Add templates of 6 channels, of which the recording has 9; 0 to 7 peak at channels below."""
    peaks = np.array([3, 0, 1, 2, 4, 5, 0, 2])
    shapes = 0.1 * rng.normal(size=(8, 61, 6)).astype(np.float32)
    shapes[np.arange(8), 20, peaks] = -5.0
    np.save(folder / "templates.npy", shapes)
    np.save(folder / "channel_map.npy", np.array([[8], [7], [5], [3], [1], [0]]))
    np.save(
        folder / "channel_positions.npy", np.array([[16.0 * (k % 2), 20.0 * k] for k in range(6)])
    )
    return shapes


def test_channel_and_depth_are_those_of_the_peak(folder, rng):
    add_places(folder, rng)
    recording = nr.open(folder)
    # Templates 0, 2, 5 and 7 peak at 3, 1, 5 and 2.
    assert recording["channel"].values.tolist() == [3, 7, 0, 5]
    assert recording["depth"].values.tolist() == [60.0, 20.0, 100.0, 40.0]
    assert recording["depth"].attrs["units"] == "um"


def test_what_was_merged_has_the_mean_template(folder, rng):
    shapes = add_places(folder, rng)
    # Cluster 0 is 1/3 of template 1 (peak 0) and 2/3 of template 0 (peak 3).
    np.save(folder / "spike_templates.npy", np.array([1, 2, 0, 7, 2, 5, 0, 7], np.int32))
    assert nr.open(folder)["channel"].values.tolist() == [3, 7, 0, 5]
    # Twice as large, a third of the spikes would still lose; five times as large it wins.
    shapes[1] *= 5
    np.save(folder / "templates.npy", shapes)
    assert nr.open(folder)["channel"].values.tolist() == [8, 7, 0, 5]


def test_templates_of_a_few_channels_each(folder, rng):
    add_places(folder, rng)
    shapes = np.zeros((8, 61, 3), np.float32)
    shapes[:, 10, 1] = 2.0
    columns = np.array([[k % 6, (k + 1) % 6, -1] for k in range(8)])
    np.save(folder / "templates.npy", shapes)
    np.save(folder / "templates_ind.npy", columns.astype(float))
    assert nr.open(folder)["depth"].values.tolist() == [20.0, 60.0, 0.0, 40.0]
    # Unwhitened, a template is nothing on channels that it does not cover.
    back = np.eye(6)
    back[1, 5] = 9.0
    np.save(folder / "whitening_mat_inv.npy", back)
    assert nr.open(folder)["depth"].values.tolist() == [20.0, 60.0, 0.0, 40.0]


def test_templates_are_unwhitened_as_in_phy(folder, rng):
    add_places(folder, rng)
    # Weak at the whitened peak, channel 3, and strong at the next.
    back = np.eye(6)
    back[3] = [0, 0, 0, 0.1, 3, 0]
    np.save(folder / "whitening_mat_inv.npy", back)
    assert nr.open(folder)["channel"].values.tolist() == [1, 7, 0, 5]


def test_an_empty_template_has_no_place(folder, rng):
    shapes = add_places(folder, rng)
    shapes[5] = 0
    np.save(folder / "templates.npy", shapes)
    recording = nr.open(folder)
    assert recording["channel"].values.tolist() == [3, 7, -1, 5]
    assert np.isnan(recording["depth"].values[2])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("channel_map.npy", (5,)),
        ("channel_positions.npy", (7, 2)),
        ("channel_positions.npy", (6,)),
        ("whitening_mat_inv.npy", (6, 5)),
        ("templates_ind.npy", (8, 5)),
        ("templates.npy", (8, 61)),
        ("templates.npy", (7, 61, 6)),
        ("templates.npy", (8, 61, 9)),
    ],
)
def test_places_that_do_not_fit_are_refused(folder, rng, name, shape):
    add_places(folder, rng)
    np.save(folder / name, np.ones(shape))
    with pytest.raises(ShapeError, match=r"take templates\.npy out"):
        nr.open(folder)


# ------------------------------------------------------------------ the rate


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("sample_rate = 30000", 30000.0),
        ("sample_rate=25e3  # Hz", 25000.0),
        ("sample_rate = 30_000.5", 30000.5),
        ("sample_rate = 29999.954846", 29999.954846),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_rate_that_is_a_plain_number_is_read(folder, line, rate, end):
    text = PARAMS.replace("sample_rate = 30000.0", line).replace("\n", end)
    (folder / "params.py").write_bytes(text.encode())
    check(nr.open(folder), rate=rate)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "no line of params.py"),
        ("    sample_rate = 30000.0", "no line of params.py"),
        ("# sample_rate = 30000.0", "no line of params.py"),
        ("hp_sample_rate = 30000.0", "no line of params.py"),
        ("sample_rate = 30 * 1000", "line 3 of params.py says 'sample_rate = 30"),
        ("sample_rate = '30000'", "line 3 of params.py"),
        ("sample_rate = nan", "line 3 of params.py"),
        ("sample_rate =", "line 3 of params.py"),
        ("sample_rate = 30000.0\nsample_rate = 25000.0", "several rates"),
    ],
)
def test_a_rate_that_is_none_is_asked_for(folder, line, said):
    (folder / "params.py").write_text(PARAMS.replace("sample_rate = 30000.0", line))
    with pytest.raises(UnitError, match=rf"{said}.*sampling_rate=30000\.0"):
        nr.open(folder)
    check(nr.open(folder, sampling_rate=RATE))


@pytest.mark.parametrize("value", ["0", "-30000.0", "1e999"])
def test_a_number_that_is_no_rate(folder, value):
    (folder / "params.py").write_text(PARAMS.replace("30000.0", value))
    with pytest.raises((UnitError, DataError), match=r"sample_rate of params\.py"):
        nr.open(folder)


def test_without_params_the_rate_is_asked_for(folder):
    (folder / "params.py").unlink()
    with pytest.raises(UnitError, match=r"no params\.py beside it.*sampling_rate="):
        nr.open(folder)
    check(nr.open(folder, sampling_rate=20000.0), rate=20000.0)


def test_a_rate_that_is_passed_has_to_agree(folder):
    # The measured rate of a probe differs by a few millionths: it is taken.
    check(nr.open(folder, sampling_rate=30000.12), rate=30000.12)
    with pytest.raises(UnitError, match=r"25000.*30000"):
        nr.open(folder, sampling_rate=25000.0)


def test_code_in_params_does_not_run(folder):
    marker = folder / "it_ran"
    code = f"open({str(marker)!r}, 'w').write('x')\n"
    (folder / "params.py").write_text(code + PARAMS + code)
    check(nr.open(folder))
    assert not marker.exists()
    # Nor where the rate itself is code.
    bad = PARAMS.replace("30000.0", f"[open({str(marker)!r}, 'w'), 30000.0][1]")
    (folder / "params.py").write_text(bad)
    with pytest.raises(UnitError, match="never run"):
        nr.open(folder / "params.py")
    assert not marker.exists()


def test_a_path_in_another_encoding_does_not_matter(folder):
    text = PARAMS.replace("a.bin", "D:\\Mäuse\\1.bin")
    (folder / "params.py").write_bytes(text.encode("cp1252"))
    check(nr.open(folder))


# ------------------------------------------------------------------ wrong input


@pytest.mark.parametrize("name", ["spike_clusters.npy", "spike_templates.npy"])
@pytest.mark.parametrize("n", [7, 9])
def test_another_number_of_clusters(folder, name, n):
    np.save(folder / name, np.zeros(n, np.int32))
    with pytest.raises(ShapeError, match=rf"{name} .* has {n} entries for the 8 spikes"):
        nr.open(folder)


@pytest.mark.parametrize("name", ["spike_times.npy", "spike_clusters.npy"])
def test_a_file_that_is_cut_short(folder, name):
    content = (folder / name).read_bytes()
    for keep in (len(content) - 3, 90, 7):
        (folder / name).write_bytes(content[:keep])
        with pytest.raises(FileFormatError, match=name):
            nr.open(folder)
    (folder / name).write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        nr.open(folder)


def test_python_objects_are_refused(folder):
    np.save(folder / "spike_clusters.npy", np.array([1, "a"] * 4, object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="stored as pickle"):
        nr.open(folder)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.where(SAMPLES == 300, -5, SAMPLES), "1 of 8 spikes .* earliest at sample -5"),
        (np.where(SAMPLES == 300, -5, SAMPLES).astype(np.uint64), "without its sign"),
        (SAMPLES / RATE, "spike_times.npy counts samples"),
        (np.where(SAMPLES == 300, np.nan, SAMPLES), "holds nan"),
        (np.where(SAMPLES == 300, np.inf, SAMPLES), "holds inf"),
    ],
)
def test_times_that_are_no_samples(folder, values, match):
    np.save(folder / "spike_times.npy", values)
    with pytest.raises(DataError, match=match):
        nr.open(folder)


def test_several_columns_text_and_no_spikes_are_told(folder):
    np.save(folder / "spike_times.npy", np.stack([SAMPLES, SAMPLES], axis=1))
    with pytest.raises(ShapeError, match=r"shape \(8, 2\)"):
        nr.open(folder)
    np.save(folder / "spike_times.npy", SAMPLES.astype(str))
    with pytest.raises(FileFormatError, match="Numbers were needed"):
        nr.open(folder)
    for name in ("spike_times.npy", "spike_clusters.npy", "spike_templates.npy"):
        np.save(folder / name, np.empty(0, np.int64))
    with pytest.raises(FileFormatError, match="holds no spike"):
        nr.open(folder)


def test_samples_in_another_order_are_sorted_and_a_second_clock_is_told(folder):
    order = np.array([2, 0, 1, 3, 5, 4, 6, 7])
    np.save(folder / "spike_times.npy", SAMPLES[order])
    for name in ("spike_clusters.npy", "spike_templates.npy"):
        np.save(folder / name, CLUSTERS[order])
    check(nr.open(folder))
    np.save(folder / "spike_times.npy", np.roll(SAMPLES, 1))
    for name in ("spike_clusters.npy", "spike_templates.npy"):
        np.save(folder / name, np.roll(CLUSTERS, 1))
    with pytest.warns(UnitWarning, match=r"go back from 1200\.00023333 to 0\.01 s, as spike 1 of"):
        check(nr.open(folder))


def test_a_spike_at_the_first_sample_and_one_alone_are_counted(folder):
    np.save(folder / "spike_times.npy", SAMPLES - 300)
    counts = nr.data.bin_spikes(nr.open(folder), 1.0)
    # Samples 0, 1200 and 5700 of cluster 0.
    assert int(counts[0, 0]) == 3
    for name, value in (("spike_times", 0), ("spike_clusters", 3), ("spike_templates", 3)):
        np.save(folder / f"{name}.npy", np.array([value]))
    recording = nr.open(folder)
    assert recording["spike_times"].values.tolist() == [0.0]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "cluster_id\tgroup\n0\tgood\nx\tmua\n",
            "Line 3 of cluster_group.tsv has the cluster 'x'",
        ),
        ("good\tmua\n0\t1\n", "one is cluster_id"),
        ("cluster_id\tgroup\n0\tgood\n0\tmua\n", "says 'mua' of cluster 0, which is 'good'"),
        ("cluster_id\tgroup\n0\t\0\n", "NUL byte"),
    ],
)
def test_a_damaged_table_is_told(folder, text, match):
    (folder / "cluster_group.tsv").write_text(text)
    with pytest.raises(FileFormatError, match=match):
        nr.open(folder)


def test_links_out_of_the_folder_are_named(folder, tmp_path):
    (folder / "spike_times.npy").rename(tmp_path / "elsewhere.npy")
    (folder / "spike_times.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(FileFormatError, match=r"is not in it but a link.*follow_links=True"):
        nr.open(folder)
    check(nr.open(folder, follow_links=True))
    # Raw data may lie anywhere: they are not read.
    (folder / "spike_times.npy").unlink()
    (tmp_path / "elsewhere.npy").rename(folder / "spike_times.npy")
    (folder / "recording.dat").symlink_to(tmp_path / "raw.bin")
    check(nr.open(folder))


def test_files_of_spikeinterface_in_the_same_folder_are_named(folder):
    (folder / "si_folder.json").write_text("{}")
    np.save(folder / "spikes.npy", np.zeros(3, [("sample_index", "<i8"), ("unit_index", "<i8")]))
    recording = nr.open(folder)
    check(recording)
    assert (
        "SpikeInterface wrote into the same folder: si_folder.json" in recording.attrs["not_read"]
    )
    with pytest.raises(FileFormatError, match="the spikes of a SpikeInterface sorting"):
        nr.open(folder / "spikes.npy")


def test_more_than_is_allowed_is_asked_about(folder):
    with pytest.raises(FileFormatError, match=r"max_size="):
        nr.open(folder, max_size=50)


def test_many_spikes_take_a_few_copies(folder, rng):
    n = 2_000_000
    samples = np.sort(rng.integers(0, 10**8, n))
    clusters = rng.integers(0, 300, n).astype(np.int32)
    for name, values in (("times", samples), ("clusters", clusters), ("templates", clusters)):
        np.save(folder / f"spike_{name}.npy", values)
    for name in ("cluster_group.tsv", "cluster_KSLabel.tsv"):
        (folder / name).unlink()
    tracemalloc.start()
    recording = nr.open(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recording.sizes == {"spike": n, "unit": 300, "interval": 1}
    # Five copies while trains are sorted and joined, and what is asked of the spikes in between.
    assert peak < 7 * samples.nbytes
