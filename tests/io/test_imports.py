import subprocess
import sys

HEAVY = ("torch", "pynwb", "neo", "h5py", "h5netcdf", "scipy", "pandas", "Bio", "pooch", "zarr")


def loaded_after(code):
    script = f"{code}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_room_loads_nothing_heavy():
    assert loaded_after("import neurornn.io") == set()


def test_opening_and_saving_never_load_torch(tmp_path):
    (tmp_path / "a.csv").write_text("time,c\n0.1,1\n0.2,2\n0.3,1\n")
    code = (
        "import neurornn.io as io\n"
        f"rec = io.open({str(tmp_path / 'a.csv')!r})\n"
        f"io.write_saved({str(tmp_path / 'm')!r}, kind='K', settings={{}}, tables={{'t': rec}})\n"
        f"io.read_saved({str(tmp_path / 'm')!r})"
    )
    assert not loaded_after(code) & {"torch", "pynwb", "neo"}


def test_every_promised_name_is_there():
    import neurornn.io as room

    for name in room.__all__:
        assert callable(getattr(room, name)), name
