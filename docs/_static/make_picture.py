"""Make the picture of the README from the bundled recording: traces, fits, events, tau.

Run ``python docs/_static/make_picture.py`` from the project's folder.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurornn as nr

TARGET = Path(__file__).with_name("picture.png")
SHOWN, T_STOP = (0, 3, 5), 30.0
FIT, TRUTH = "#0072b2", "#d55e00"


def main():
    """Fit the sample and draw three of its cells beside the time constants of all six."""
    recording = nr.open(nr.fetch("sample_calcium"))
    truth = recording["tau_decay_true"].values
    kinetics = nr.calcium.Kinetics().fit(recording["dff"])
    tau = kinetics.parameters_["tau_decay"].values
    ci = kinetics.parameters_["tau_decay_ci"].values

    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9})
    figure = plt.figure(figsize=(9, 4.2), layout="constrained")
    grid = figure.add_gridspec(len(SHOWN), 2, width_ratios=(2.1, 1))
    for row, unit in enumerate(SHOWN):
        ax = figure.add_subplot(grid[row, 0])
        nr.plot.trace(
            recording["dff"],
            fit=kinetics.denoised(),
            events=kinetics.events_,
            unit=unit,
            t_start=0.0,
            t_stop=T_STOP,
            title=f"cell {unit}:  tau = {tau[unit]:.2f} s  [{ci[unit, 0]:.2f}, {ci[unit, 1]:.2f}]",
            ax=ax,
        )
        ax.set_ylabel("dF/F")
        if row:
            ax.get_legend().remove()
        if row < len(SHOWN) - 1:
            ax.set(xlabel="", xticklabels=[])

    ax = figure.add_subplot(grid[:, 1])
    place = np.arange(len(tau))
    # The intervals are narrow beside the range of tau, so each cell is drawn around its own truth.
    low, high = 100 * (ci.T / truth - 1)
    ax.hlines(place, low, high, color=FIT, lw=2.5, label="95 % interval")
    ax.plot(100 * (tau / truth - 1), place, "o", color=FIT, ms=5, label="estimate")
    ax.axvline(0, color=TRUTH, lw=1.2, label="truth")
    ax.set_yticks(place, [f"cell {k}\n{t:.1f} s" for k, t in enumerate(truth)])
    ax.invert_yaxis()
    ax.set(xlim=(-6, 6), xlabel="estimated tau, % from the truth")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("six cells and their true tau", loc="left")
    ax.legend(
        frameon=False,
        fontsize="small",
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.4, -0.14),
        handlelength=1.2,
        columnspacing=1.0,
    )
    figure.savefig(TARGET, dpi=110)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
