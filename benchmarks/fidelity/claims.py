"""What the study settles: each claim's comparisons, its verdict, and what is said of it, all from the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.fidelity.matrix import (
    FEW_STEPS,
    FRESH,
    OWN,
    RATES,
    REFERENCE,
    SIGMAS,
    STEPS,
    TITLES,
    TWO_50,
    TWO_75,
    U_50,
    U_75,
    Cell,
    fewer_steps,
    schedules,
    title,
)
from benchmarks.fidelity.statistics import Comparison, compare, holm, mean_of
from benchmarks.fidelity.table import Table, by_policy, cell_of

HOLDS, FAILS, PARTLY, UNDECIDED = "holds", "does not hold", "holds in part", "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict, and the figures behind it, each a sentence's part."""

    claim: str
    verdict: str
    figures: tuple[str, ...]
    remark: str = ""


def verdict(comparisons: Iterable[Comparison]) -> str:
    """Of differences that the claim says are above 0.

    All told from none and above: it holds. Some above: in part. None above, and one below: it does not hold. Nothing
    told from none: undecided.
    """
    decided = [one.decided for one in comparisons]
    if decided and all(sign > 0 for sign in decided):
        return HOLDS
    if any(sign > 0 for sign in decided):
        return PARTLY
    return FAILS if any(sign < 0 for sign in decided) else UNDECIDED


def told(name: str, one: Comparison, unit: str = "dB") -> str:
    """A comparison in words: difference, interval, p, number of prompts."""
    d, p = one.difference, one.p if one.adjusted is None else one.adjusted
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{name}: {d.mean:+.2f} {unit} [{d.low:+.2f}, {d.high:+.2f}], {shown}, n = {d.n}"


def claims(table: Table) -> list[Claim]:
    """Every claim that the study was made for."""
    return [
        u_against_two_stage(table),
        coherent_against_fresh(table),
        exact_sigma(table),
        best_policies(table),
        adherence(table),
        fewer_full_steps(table),
    ]


def u_against_two_stage(table: Table) -> Claim:
    """Mean over the policies of each prompt, then U minus two-stage."""
    found: dict[str, Comparison | None] = {}
    for u, two in ((U_75, TWO_75), (U_50, TWO_50), ("wan_i2v_U", TWO_75)):
        pairs = [(cell_of(u, name), cell_of(two, name)) for name in table.policies]
        pairs = [(a, b) for a, b in pairs if table.equal_cost(a, b)]
        ours, theirs = ([table.values(pair[k], "psnr") for pair in pairs] for k in (0, 1))
        found[f"{short(u)} less {short(two)}, mean of {len(pairs)} policies"] = compare(mean_of(ours), mean_of(theirs))
    tested = holm(found)
    return Claim(
        "A U stays closer to the baseline than a two-stage schedule of equal cost",
        verdict(tested.values()),
        tuple(told(name, one) for name, one in tested.items()),
        "Equal cost: FLOPs of the loop within 2 %. " + _by_policy(table),
    )


def _by_policy(table: Table) -> str:
    """Which policies differ from the mean, at 0.75."""
    each = {
        name: compare(*(table.values(cell_of(key, name), "psnr") for key in (U_75, TWO_75))) for name in table.policies
    }
    tested = holm(each)
    parts = [
        f"`{name}` {one.difference.mean:+.1f}{'' if one.decided else ' (undecided)'}" for name, one in tested.items()
    ]
    return "By policy, U 0.75 less two-stage 0.75, dB: " + ", ".join(parts) + "." if parts else ""


def coherent_against_fresh(table: Table) -> Claim:
    """`coherent` less the same switch with fresh noise, and less the policies that draw fresh noise."""
    found: dict[str, Comparison | None] = {}
    for key in (TWO_75, TWO_50, U_75):
        ours = table.values(cell_of(key, OWN), "psnr")
        found[f"{short(key)}, the same switch with fresh noise"] = compare(
            ours, table.values(cell_of(key, FRESH), "psnr")
        )
    tested = holm(found)
    others = holm(
        {
            f"{short(key)}, `{REFERENCE}`": compare(
                table.values(cell_of(key, OWN), "psnr"), table.values(cell_of(key, REFERENCE), "psnr")
            )
            for key in (TWO_75, TWO_50, U_75)
        }
    )
    return Claim(
        "Coherent noise beats fresh noise at equal time",
        verdict(tested.values()),
        tuple(told(f"`{OWN}` less {name}", one) for name, one in tested.items()),
        "Against LightX2V's rule, which differs in its level too: "
        + "; ".join(told(k, v) for k, v in others.items())
        + ".",
    )


def exact_sigma(table: Table) -> Claim:
    """The loss by a naive level at the fewest steps, less the loss at the most."""
    few, found, losses = min(FEW_STEPS), dict[str, Comparison | None](), dict[str, Comparison | None]()
    for variant in SIGMAS:
        gains = {n: _gain(table, variant, n) for n in (*FEW_STEPS, STEPS)}
        for n, gain in gains.items():
            losses[f"{n} steps, `{variant}`"] = compare(gain, dict.fromkeys(gain, 0.0))
        found[f"`{variant}`, gain at {few} steps less gain at {STEPS}"] = compare(gains[few], gains[STEPS])
    tested, gained = holm(found), holm(losses)
    at_few = [one for name, one in gained.items() if name.startswith(f"{few} steps")]
    growth = verdict(tested.values())
    helps = verdict(at_few)
    return Claim(
        "The exact sigma matters most at few steps",
        growth if helps == HOLDS or growth != HOLDS else PARTLY,
        tuple(told(name, one) for name, one in tested.items()),
        "`coherent` less each variant: " + "; ".join(told(name, one) for name, one in gained.items()) + ".",
    )


def _gain(table: Table, variant: str, steps: int) -> dict[str, float]:
    """dB that the exact level gains over a variant, by prompt."""
    ours, theirs = (table.values(cell_of(TWO_75, name, steps), "psnr") for name in (OWN, variant))
    return {key: ours[key] - theirs[key] for key in ours.keys() & theirs.keys()}


def best_policies(table: Table) -> Claim:
    """The policy with the highest PSNR on each schedule, and who cannot be told from it."""
    lines, firsts, clear = [], [], []
    for key in schedules():
        ranked = sorted(by_policy(table, key, "psnr").items(), key=lambda item: -item[1].mean)
        if len(ranked) < 2:
            continue
        first = ranked[0][0]
        mine = table.values(cell_of(key, first), "psnr")
        tested = holm({name: compare(mine, table.values(cell_of(key, name), "psnr")) for name, _ in ranked[1:]})
        ties = [name for name, one in tested.items() if one.decided <= 0]
        firsts.append(first)
        clear.append(not ties)
        ending = " (not told from " + ", ".join(f"`{name}`" for name in ties) + ")" if ties else ""
        lines.append(f"{title(key)}: `{first}` {ranked[0][1].mean:.1f} dB{ending}")
    single = len(set(firsts)) == 1
    return Claim(
        "One policy is the closest at every rate",
        UNDECIDED
        if not lines
        else HOLDS
        if single and all(clear)
        else FAILS
        if not single and any(clear)
        else UNDECIDED,
        tuple(lines),
    )


def adherence(table: Table) -> Claim:
    """The highest rate at which the judge finds significantly less than at full size, run flat and two-stage."""
    base = table.values(cell_of("flat"), "adherence")
    flat = {f"whole video at {r:g}": compare(table.values(_flat_at(r), "adherence"), base) for r in RATES}
    half = {f"first half at {r:g}": compare(table.values(cell_of(f"{r:g}@50%", OWN), "adherence"), base) for r in RATES}
    tested = holm(flat | half)
    costs = {
        part: next((r for r in RATES if _falls(tested, f"{part} at {r:g}")), None)
        for part in ("whole video", "first half")
    }
    said = [
        f"{part} at low resolution: adherence falls from rate {rate:g} on"
        if rate
        else f"{part} at low resolution: no fall was told from none down to {min(RATES):g}"
        for part, rate in costs.items()
    ]
    found = [rate for rate in costs.values() if rate]
    return Claim(
        "Low resolution costs adherence",
        UNDECIDED if not found else HOLDS if len(found) == len(costs) else PARTLY,
        tuple(told(name, one, "points") for name, one in tested.items()),
        "; ".join(said).capitalize() + ".",
    )


def _falls(tested: dict[str, Comparison], name: str) -> bool:
    return name in tested and tested[name].decided < 0


def _flat_at(rate: float) -> Cell:
    return Cell("", "flat", size=rate)


def fewer_full_steps(table: Table) -> Claim:
    """Two-stage under the best policy, less the baseline with so many fewer steps that it costs the same."""
    found: dict[str, Comparison | None] = {}
    for key, steps in zip((TWO_75, TWO_50), fewer_steps(), strict=True):
        ranked = sorted(by_policy(table, key, "psnr").items(), key=lambda item: -item[1].mean)
        if ranked:
            fewer = Cell("", "flat", steps=steps)
            best = table.values(cell_of(key, ranked[0][0]), "psnr")
            name = f"{short(key)} under `{ranked[0][0]}` less {steps} full-size steps"
            found[name] = compare(best, table.values(fewer, "psnr"))
    tested = holm(found)
    return Claim(
        "Low-resolution steps stay closer to the baseline than leaving steps out at equal cost",
        verdict(tested.values()),
        tuple(told(name, one) for name, one in tested.items()),
        "The control that no table of schedules shows: the same FLOPs spent on fewer steps, all at full size.",
    )


def short(key: str) -> str:
    """A schedule's name without its other names."""
    return TITLES.get(key, title(key)).split(" (")[0]


def names(found: Sequence[Claim]) -> str:
    """All verdicts in a line, for the console."""
    return "\n".join(f"{one.verdict:>14}: {one.claim}" for one in found)
