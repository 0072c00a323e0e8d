"""What the study settles: each claim's comparisons, its verdict, and what is said of it, all from the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.fidelity.matrix import (
    BEST,
    BEST_RULES,
    EARLY_50,
    FEW_STEPS,
    FRESH,
    OWN,
    RATES,
    REFERENCE,
    RULED_ON,
    RULES,
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
from benchmarks.fidelity.statistics import Comparison, Values, compare, holm, mean_of
from benchmarks.fidelity.table import CLOSENESS, QUESTIONS, Table, by_policy, cell_of

HOLDS, FAILS, PARTLY, UNDECIDED = "holds", "does not hold", "holds in part", "undecided"
WHOLE, HALF = "whole video", "first half of the steps"


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict, and the figures behind it, each a sentence's part."""

    claim: str
    verdict: str
    figures: tuple[str, ...]
    remark: str = ""
    beside: tuple[str, ...] = ()  # figures that the verdict does not rest on


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
        best_rule(table),
        best_policies(table),
        few_steps_at_half(table),
        adherence(table),
        fewer_full_steps(table),
    ]


def u_against_two_stage(table: Table) -> Claim:
    """Mean over the policies of each prompt, then U minus two-stage."""
    found: dict[str, Comparison | None] = {}
    for u, two in ((U_75, TWO_75), (U_50, TWO_50), ("wan_i2v_U", TWO_75)):
        pairs = [(cell_of(u, name), cell_of(two, name)) for name in table.well_run(table.policies, u, two)]
        pairs = [(a, b) for a, b in pairs if table.equal_cost(a, b)]
        ours, theirs = ([table.values(pair[k], CLOSENESS) for pair in pairs] for k in (0, 1))
        found[f"{short(u)} less {short(two)}, mean of {len(pairs)} policies"] = compare(mean_of(ours), mean_of(theirs))
    tested = holm(found)
    each = {f"`{name}`": (psnr(table, U_75, name), psnr(table, TWO_75, name)) for name in table.policies}
    return Claim(
        "A U stays closer to the baseline than a two-stage schedule of equal cost",
        verdict(tested.values()),
        tuple(told(name, one) for name, one in tested.items()),
        f"Equal cost: FLOPs of the loop within 2 %. By policy, {short(U_75)} less {short(TWO_75)}:",
        differences(each),
    )


def coherent_against_fresh(table: Table) -> Claim:
    """`coherent` less the same switch with fresh noise, and less LightX2V's rule, which draws fresh noise."""
    keys = (TWO_75, TWO_50, U_75)
    tested = holm({short(key): compare(psnr(table, key, OWN), psnr(table, key, FRESH)) for key in keys})
    return Claim(
        "Coherent noise beats fresh noise at equal time",
        verdict(tested.values()),
        tuple(told(f"{name}, `{OWN}` less `{FRESH}`", one) for name, one in tested.items()),
        f"The two do the same work: only the noise differs. Less `{REFERENCE}`, which differs in its levels too:",
        differences({short(key): (psnr(table, key, OWN), psnr(table, key, REFERENCE)) for key in keys}),
    )


def exact_sigma(table: Table) -> Claim:
    """The loss by another rule of the shift at the fewest steps, less the loss at the most."""
    few = min(FEW_STEPS)
    gains = {(n, variant): _gain(table, variant, n) for n in (*FEW_STEPS, STEPS) for variant in RULES}
    grown = {f"`{name}`": compare(gains[few, name], gains[STEPS, name]) for name in RULES}
    gained = {f"{n} steps, `{name}`": compare(gain, dict.fromkeys(gain, 0.0)) for (n, name), gain in gains.items()}
    tested, helps = holm(grown), holm(gained)
    growth, use = verdict(tested.values()), verdict([one for name, one in helps.items() if name.startswith(f"{few} ")])
    return Claim(
        "The exact sigma keeps a run closer than other rules of the shift, most of all at few steps",
        PARTLY if growth == HOLDS and use != HOLDS else growth,
        tuple(told(f"{name}, what `{OWN}` gains at {few} steps less at {STEPS}", one) for name, one in tested.items()),
        f"What `{OWN}` gains over each variant ({short(TWO_75)}):",
        tuple(told(name, one) for name, one in helps.items()),
    )


def best_rule(table: Table) -> Claim:
    """The best policy at the exact sigma, less itself under shift + 1; under other rules on one schedule."""
    rule, *others = BEST_RULES
    tested = holm({short(key): compare(psnr(table, key, BEST), psnr(table, key, rule)) for key in RULED_ON})
    return Claim(
        f"The exact sigma is the best rule of the shift for `{BEST}`",
        verdict(tested.values()),
        tuple(told(f"{name}, `{BEST}` less `{rule}`", one) for name, one in tested.items()),
        f"Less other rules ({short(TWO_75)}):",
        differences({f"`{name}`": (psnr(table, TWO_75, BEST), psnr(table, TWO_75, name)) for name in others}),
    )


def _gain(table: Table, variant: str, steps: int) -> dict[str, float]:
    """dB that the exact sigma gains over another rule, by prompt."""
    ours, theirs = (psnr(table, TWO_75, name, steps) for name in (OWN, variant))
    return {key: ours[key] - theirs[key] for key in ours.keys() & theirs.keys()}


def few_steps_at_half(table: Table) -> Claim:
    """Two-stage 0.5 @ 30 % less 0.75 @ 50 %, which cost the same: the mean over policies, and each of them."""
    names = table.well_run(table.policies, EARLY_50, TWO_75)
    names = [n for n in names if table.equal_cost(cell_of(EARLY_50, n), cell_of(TWO_75, n))]
    ours, theirs = ([psnr(table, key, name) for name in names] for key in (EARLY_50, TWO_75))
    tested = holm({f"mean of {len(names)} policies": compare(mean_of(ours), mean_of(theirs))})
    return Claim(
        "A short first stage at 0.5 stays closer than a longer one at 0.75 of equal cost",
        verdict(tested.values()),
        tuple(told(f"{short(EARLY_50)} less {short(TWO_75)}, {name}", one) for name, one in tested.items()),
        "By policy:" if names else "",
        differences({f"`{n}`": (a, b) for n, a, b in zip(names, ours, theirs, strict=True)}),
    )


def best_policies(table: Table) -> Claim:
    """The policy with the highest PSNR on each schedule, and who cannot be told from it."""
    lines, firsts, clear = [], [], []
    for key in schedules():
        found = by_policy(table, key, CLOSENESS).items()
        ranked = sorted((item for item in found if item[1].n > 1), key=lambda item: -item[1].mean)
        if len(ranked) < 2:
            continue
        first = ranked[0][0]
        mine = psnr(table, key, first)
        tested = holm({name: compare(mine, psnr(table, key, name)) for name, _ in ranked[1:]})
        ties = [name for name, one in tested.items() if one.decided <= 0]
        firsts.append(first)
        clear.append(not ties)
        ending = " (not told from " + ", ".join(f"`{name}`" for name in ties) + ")" if ties else ""
        lines.append(f"{title(key)}, {len(ranked)} policies: `{first}` {ranked[0][1].mean:.1f} dB{ending}")
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
    cells = {f"{WHOLE} at {r:g}": Cell("", "flat", size=r) for r in RATES}
    cells |= {f"{HALF} at {r:g}": cell_of(f"{r:g}@50%", OWN) for r in RATES}
    tested = holm({name: compare(table.values(cell, "adherence"), base) for name, cell in cells.items()})
    costs = {part: next((r for r in RATES if _falls(tested, f"{part} at {r:g}")), None) for part in (WHOLE, HALF)}
    low = f"no fall was told from none down to {min(RATES):g}"
    said = [f"{part}: " + (f"adherence falls from rate {rate:g} on" if rate else low) for part, rate in costs.items()]
    found = [rate for rate in costs.values() if rate]
    return Claim(
        "Low resolution costs adherence",
        UNDECIDED if not found else HOLDS if len(found) == len(costs) else PARTLY,
        tuple(told(f"{name} less full size", one, "points") for name, one in tested.items()),
        "; ".join(said) + ". What the judge finds:" if tested else "",
        tuple(filter(None, (_questions(table, *one) for one in {"full size": cell_of("flat"), **cells}.items()))),
    )


def _questions(table: Table, name: str, cell: Cell) -> str:
    """What share of each question is right, of the cells that ran."""
    means = {question: table.mean(cell, question) for question in QUESTIONS}
    shown = ", ".join(f"{question} {one.mean:.0f} %" for question, one in means.items() if one)
    return f"{name}: {shown}" if shown else ""


def _falls(tested: dict[str, Comparison], name: str) -> bool:
    return name in tested and tested[name].decided < 0


def fewer_full_steps(table: Table) -> Claim:
    """Two-stage under the best policy, less the baseline with so many fewer steps that it costs the same."""
    found: dict[str, Comparison | None] = {}
    for key, steps in zip((TWO_75, TWO_50), fewer_steps(), strict=True):
        ranked = sorted(by_policy(table, key, CLOSENESS).items(), key=lambda item: -item[1].mean)
        if ranked:
            fewer = Cell("", "flat", steps=steps)
            best = psnr(table, key, ranked[0][0])
            name = f"{short(key)} under `{ranked[0][0]}` less {steps} full-size steps"
            found[name] = compare(best, table.values(fewer, CLOSENESS))
    tested = holm(found)
    return Claim(
        "Low-resolution steps stay closer to the baseline than leaving steps out at equal cost",
        verdict(tested.values()),
        tuple(told(name, one) for name, one in tested.items()),
        "The control that no table of schedules shows: the same FLOPs spent on fewer steps, all at full size.",
    )


def psnr(table: Table, key: str, policy: str, steps: int = STEPS) -> Values:
    """A cell's PSNR by prompt."""
    return table.values(cell_of(key, policy, steps), CLOSENESS)


def differences(pairs: Mapping[str, tuple[Values, Values]]) -> tuple[str, ...]:
    """Each pair's paired difference in words, all of them corrected together."""
    return tuple(told(name, one) for name, one in holm({k: compare(*pair) for k, pair in pairs.items()}).items())


def short(key: str) -> str:
    """A schedule's name without its other names."""
    return TITLES.get(key, title(key)).split(" (")[0]


def names(found: Sequence[Claim]) -> str:
    """All verdicts in a line, for the console."""
    return "\n".join(f"{one.verdict:>14}: {one.claim}" for one in found)
