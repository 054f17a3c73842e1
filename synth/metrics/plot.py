"""The summary as a picture: a row per metric, a panel per grouping, a bar per group and zone."""

import io
from typing import Any

from synth.metrics.compare import METRICS
from synth.metrics.summary import GROUPINGS
from synth.metrics.zones import ZONES

TITLES = {"psnr_db": "PSNR, dB", "ssim": "SSIM", "lpips": "LPIPS", "nme": "NME, share of the eyes' distance",
          "identity": "identity, cosine", "fid": "FID"}
COLOURS = {"whole": "#8a8f98", "inside": "#c2553f", "boundary": "#e0a458", "outside": "#3f7fb3"}
HEADS = {"all": "all", "procedure": "by procedure", "skin": "by skin (ITA)"}
ALIKE = {"psnr_db": "higher", "ssim": "higher", "lpips": "lower", "nme": "lower", "identity": "higher", "fid": "lower"}


def plot(summaries: dict[str, dict[str, Any]], title: str) -> bytes:
    """A PNG of a summary; bars are means, thin lines lowest to highest. ValueError: there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    groupings = [g for g in GROUPINGS if g in summaries]
    metrics = [m for m in (*METRICS, "fid") if any(m in group for g in groupings for group in summaries[g].values())]
    if not metrics:
        raise ValueError("there is nothing to draw")
    widths = [max(2.0, 0.9 * len(summaries[g])) for g in groupings]
    figure = Figure(figsize=(2.0 + 1.35 * sum(widths), 1.2 + 2.0 * len(metrics)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(metrics), len(groupings), squeeze=False, sharey="row", width_ratios=widths)
    seen = [z for z in ZONES if any(z in group.get(m, {}) for g in groupings for group in summaries[g].values()
                                    for m in metrics)]
    for row, metric in enumerate(metrics):
        for column, grouping in enumerate(groupings):
            panel(axes[row, column], summaries[grouping], metric, seen)
            if row == 0:
                axes[row, column].set_title(HEADS[grouping], fontsize=10)
        axes[row, 0].set_ylabel(f"{TITLES[metric]}\n({ALIKE[metric]}: more alike)", fontsize=9)
    figure.suptitle(f"{title}; bars are means, lines lowest to highest, = where no byte differs", fontsize=10)
    handles = [Patch(color=COLOURS[zone], label=zone) for zone in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(seen), frameon=False, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def panel(axis: Any, groups: dict[str, Any], metric: str, seen: list[str]) -> None:
    """One metric of one grouping."""
    width = 0.8 / max(len(seen), 1)
    for place, group in enumerate(groups.values()):
        for k, zone in enumerate(seen):
            told = group.get(metric, {}).get(zone)
            if told is None:
                continue
            x = place + (k - (len(seen) - 1) / 2) * width
            value = told["value"] if metric == "fid" else told["mean"]
            if value is None:  # every pair equal there
                axis.text(x, 0, "=", ha="center", va="bottom", fontsize=9, color=COLOURS[zone])
                continue
            axis.bar(x, value, width * 0.92, color=COLOURS[zone])
            if metric != "fid" and told["n"] > 1:
                axis.plot([x, x], [told["low"], told["high"]], color="#333333", linewidth=0.8)
    names = [f"{name.replace('_', ' ')}\nn = {group['pictures']}" for name, group in groups.items()]
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.tick_params(axis="y", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
