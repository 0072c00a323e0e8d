"""What a run of the mutants says, as a page; and whether it says enough."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from benchmarks.mutants.changes import OPERATORS, Mutant
from benchmarks.mutants.listed import Listed, Spared

AIM = 0.95  # of the mutants that are not equivalent

_HEAD = f"""# Mutants

`make mutants` changes one small thing at a time in the files below and runs their tests on it ({len(OPERATORS)} of
cosmic-ray's operators at every place where they fit, and variants written by hand). A change that no test notices is a
hole in the tests; the aim is that {AIM:.0%} of those that change anything are noticed. The files, their tests, the
variants and the reasons below stand in `benchmarks/mutants/mutants.toml`; this page is written by the command.
"""


def written(listed: Listed, killers: Mapping[Mutant, str]) -> str:
    """The page: figures by file, and every survivor with its reason."""
    rows = ["| file | mutants | equivalent | killed | survive | share killed |", "|---|---|---|---|---|---|"]
    for subject in listed.subjects:
        own = {mutant: killer for mutant, killer in killers.items() if mutant.subject == subject}
        if own:
            rows.append(_row(f"`{subject.path}`", listed, own))
    rows.append(_row("all", listed, killers))
    parts = [
        _HEAD,
        f"Run of {date.today().isoformat()}:\n",
        "\n".join(rows) + "\n",
        *_reasons("Equivalent", listed.equivalent, killers),
    ]
    parts += _reasons("Surviving", listed.tolerated, killers)
    if unknown := [mutant.name for mutant in _unknown(listed, killers)]:
        parts.append("## Surviving, without a reason\n\n" + "\n".join(f"- `{_flat(name)}`" for name in unknown) + "\n")
    return "\n".join(parts)


def aim_missed(listed: Listed, killers: Mapping[Mutant, str]) -> str:
    """Why the run is not good enough, or ""."""
    every = (*listed.equivalent, *listed.tolerated)
    for spared in every:
        noticed = [killer for mutant, killer in killers.items() if spared.covers(mutant) and killer]
        if noticed:
            return f"{spared.file}: {spared.line!r} is listed as surviving, but {noticed[0]} notices its change."
    if wrong := [mutant.wrong for mutant, killer in killers.items() if mutant.wrong and not killer]:
        return f"No test notices: {'; '.join(wrong)}."
    share = _share(listed, killers)
    return f"{share:.1%} of the mutants were noticed; the aim is {AIM:.0%}." if share < AIM else ""


def _row(label: str, listed: Listed, killers: Mapping[Mutant, str]) -> str:
    equivalent = sum(_spared(listed.equivalent, mutant) for mutant in killers)
    killed = sum(bool(killer) for killer in killers.values())
    survive = len(killers) - killed - equivalent
    return f"| {label} | {len(killers)} | {equivalent} | {killed} | {survive} | {_share(listed, killers):.1%} |"


def _share(listed: Listed, killers: Mapping[Mutant, str]) -> float:
    counted = [killer for mutant, killer in killers.items() if not _spared(listed.equivalent, mutant)]
    return sum(bool(killer) for killer in counted) / len(counted)


def _spared(spared: tuple[Spared, ...], mutant: Mutant) -> bool:
    return any(one.covers(mutant) for one in spared)


def _unknown(listed: Listed, killers: Mapping[Mutant, str]) -> list[Mutant]:
    known = (*listed.equivalent, *listed.tolerated)
    return [mutant for mutant, killer in killers.items() if not killer and not _spared(known, mutant)]


def _reasons(title: str, spared: tuple[Spared, ...], killers: Mapping[Mutant, str]) -> list[str]:
    """A table of changes and why they survive."""
    rows = [
        f"| `{mutant.subject.name}` | `{_flat(mutant.lines[0])}` | `{_flat(mutant.lines[1])}` | {one.why} |"
        for one in spared
        for mutant in killers
        if one.covers(mutant)
    ]
    head = [f"## {title}\n", "| file | line | becomes | why |", "|---|---|---|---|"]
    return ["\n".join([*head, *rows]) + "\n"] if rows else []


def _flat(lines: str) -> str:
    return lines.replace("\n", " ⏎ ").replace("|", "\\|")
