"""The page that `photos.py` writes: its numbers in words and tables."""

import numpy as np

BAR_PERCENT = 1.0


def page(told: dict) -> str:
    """Markdown of one run."""
    rows = [r for r in told["profiles"] if "failed" not in r]
    failed = [r for r in told["profiles"] if "failed" in r]
    commits = ", ".join(f"{name.replace('_', ' ')} at {commit}" for name, commit in told["commit"].items())
    return "\n".join([HEAD.format(commits=commits), *summary(rows), "", *table(rows), "",
                      *[f"- {r.get('photo', r['person'])}: {r['failed']}" for r in failed],
                      HIDES, *other_side(told["other_side"], rows), ""])


def summary(rows: list[dict]) -> list[str]:
    """The figures over all profiles."""
    def middle(name: str) -> float:
        return float(np.median([r[name] for r in rows]))

    held = np.median([r["distance_held"]["median"] for r in rows])
    own = middle("median")
    people = sorted({r["person"] for r in rows})
    good = sum(np.mean([r["median"] for r in rows if r["person"] == p]) <= BAR_PERCENT for p in people)
    tips = np.abs([r["tip_forward"] for r in rows])
    chins = np.abs([r["chin_forward"] for r in rows])
    others = [r["other_heads"] for r in rows if r["other_heads"] is not None]
    better = sum(r["median"] < r["average_head"] for r in rows)
    return [
        f"{len(rows)} profiles of {len(people)} people. Bar: median at most {BAR_PERCENT:.1f} % of the height from "
        "nasion to menton.", "",
        "| | % of the face's height |", "|---|---:|",
        f"| **median over nose and chin, median of the profiles** | **{own:.2f}** "
        f"({'held' if own <= BAR_PERCENT else 'missed'}) |",
        f"| nose, chin | {middle('nose'):.2f}, {middle('chin'):.2f} |",
        f"| worst tenth of the points begins at | {middle('p90'):.2f} |",
        f"| worst profile's median | {max(r['median'] for r in rows):.2f} |",
        f"| foremost point of the nose, of the chin: too far forward or back by | {np.median(tips):.2f}, "
        f"{np.median(chins):.2f} |",
        f"| the same heads with the distance held to that of the other photos | {held:.2f} |",
        f"| the head model's average head, laid on the same way | {middle('average_head'):.2f} |",
        *([f"| other people's heads, laid on the same way | {np.median(others):.2f} |"] if others else []), "",
        f"Within the bar (mean of both sides): {good} of {len(people)} people.", "",
        SAYS.format(average=middle("average_head"), better=better, count=len(rows), tips=(tips > 1).sum(),
                    chins=(chins > 1).sum(), best=sum(r["better_others"] == 0 for r in rows),
                    nearer=100 * (1 - middle("distance")), near=sum(r["distance"] < 1 for r in rows))]


def table(rows: list[dict]) -> list[str]:
    """One line per profile."""
    lines = ["| photo | median | nose | chin | p90 | tip forward | chin forward | distance held | average head | other "
             "heads (better of them) | distance | yaw |", "|---|" + "---:|" * 11]
    for r in rows:
        other = "" if r["other_heads"] is None else f"{r['other_heads']:.2f} ({r['better_others']})"
        bold = "**" if r["median"] > BAR_PERCENT else ""
        lines.append(f"| {r['photo']} | {bold}{r['median']:.2f}{bold} | {r['nose']:.2f} | {r['chin']:.2f} | "
                     f"{r['p90']:.2f} | {r['tip_forward']:+.2f} | {r['chin_forward']:+.2f} | "
                     f"{r['distance_held']['median']:.2f} | {r['average_head']:.2f} | {other} | {r['distance']:.2f} | "
                     f"{r['yaw_deg']:.0f}° |")
    return [*lines, "", "All in % of the face's height, but *distance* (from camera to head, as a share of that in the",
            "other photos) and *yaw*. *Forward*: how much farther forward than the photo's the head's foremost point",
            "of nose and chin lies. Bold: beyond the bar."]


def other_side(sides: list[dict], rows: list[dict]) -> list[str]:
    """What one profile in the set of photos does for the other."""
    without = {r["photo"]: r for r in rows}
    got = [r for r in sides if "failed" not in r and r["photo"] in without]
    lines = ["", "## One profile given, the other not", "",
             "The same three photos and the profile that looks to the picture's left make each head; it is laid on the",
             f"other profile. Outlines that could not be read: {sum(bool(r['refused']) for r in got)} of {len(got)}.",
             "",
             "| photo | three photos | and one profile | nose | chin | tip forward | chin forward |",
             "|---|" + "---:|" * 6]
    lines += [f"| {r['photo']} | {without[r['photo']]['median']:.2f} | {r['median']:.2f} | {r['nose']:.2f} | "
              f"{r['chin']:.2f} | {r['tip_forward']:+.2f} | {r['chin_forward']:+.2f} |" for r in got]
    if got:
        before, after = (np.median([r["median"] for r in some]) for some in ([without[r["photo"]] for r in got], got))
        lines += [f"| **median** | **{before:.2f}** | **{after:.2f}** | {np.median([r['nose'] for r in got]):.2f} | "
                  f"{np.median([r['chin'] for r in got]):.2f} | | |"]
    return lines


HEAD = """# What photos alone give

Written by `python benchmarks/photos.py` ([how](photos.py)); cases made by
`previsage reconstruct FRONT LEFT34 RIGHT34 --quality full`: {commits}. People of the Face Research Lab London Set
(DeBruine & Jones 2017, CC BY 4.0) go by their file's number; the figures rate the program, nobody's face.

## Profiles that the program never saw
"""

SAYS = """\
**How much that says**: the average head would hold the bar with {average:.2f} too. A person's own head lies closer than
the average one in {better} of {count} profiles, and closer than every other person's that was tried in {best}. The
nose's tip is off by more than 1 % in {tips} profiles, the chin in {chins} (1 % is about 1.1 mm).

The profiles fit best {nearer:.0f} % nearer to the camera than the other photos (nearer in {near} of {count}; measured
between the ears, about which a head is taken to turn). Cameras that stand too near would explain it: no focal length is
known here, and a distance read off the outlines comes out too near beyond 0.9 m (`recon/photo_lens.py`); there a face
that turns away gets smaller than in the photos. So would people who turned about an axis before their ears: these
photos cannot tell. Before the outlines were asked, at half a metre, it was 7 %, and 0.93 with the distance held; the
other profile after one was given was met to 0.41.
"""

HIDES = """
### What the alignment hides

- Six numbers of the pose are fitted to the very outline that is then measured. They take up a head that is too large or
  too small (*distance*; *distance held* takes that freedom away), one that leans or nods, and a profile that is evenly
  too flat or too deep (a turn, 4° sd). Only what a rigid head cannot follow is left.
- Each of the photo's points is measured to the nearest line of the head's outline: a bump a little too high or too low
  along the outline costs less than it looks. *Tip* and *chin forward* and the worst tenth show more.
- Forehead and lips pull at the pose but are not measured; hair and beard pull hardly (Geman-McClure, 12 px, about 3 %
  of the height). A beard counts as chin.
- The average head and other people's heads, laid on with the same freedom, say how much of a good figure is any face's:
  what the three photos told about this profile is the difference.
- How freely the pose may move (4° and 6 % sd, the kernel, the starts) was settled while looking at overlays of these
  same profiles, until no outline lay on hair or shirt.
- One line in the middle of the face is compared: wings, cheeks and jaw are not.
"""
