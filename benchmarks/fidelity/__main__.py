"""The study of closeness: `python -m benchmarks.fidelity` runs what is missing and writes docs/fidelity.md.

`run` alone runs, `report` alone writes the page from the rows that there are. A run goes on where it was stopped.

    python -m benchmarks.fidelity --processes 2 --minutes 35
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fidelity.matrix import Pair, cells, pairs, part_of
from benchmarks.fidelity.rows import digest_of, read_rows
from engine.errors import InvalidInput, ResoluteError
from engine.switching.policies import POLICIES


def main(words: list[str] | None = None) -> int:
    """Run, report or both; 2 for what a person can mend."""
    options = parsed(words)
    try:
        if options.do != "report":
            pairs_of(options)  # a wrong part is refused before anything is loaded
            beside(options) if options.processes > 1 else run(options)
        if options.do != "run":
            report(options)
    except ResoluteError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parsed(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", nargs="?", choices=("all", "run", "report"), default="all")
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--judge", type=Path, default=Path("runs/nano/judge.pt"))
    parser.add_argument("--set", choices=("held-out", "development"), default="held-out", help="of prompts")
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("out/fidelity.jsonl"), help="the rows")
    parser.add_argument("--page", type=Path, default=Path("docs/fidelity.md"))
    parser.add_argument("--dtype", default="bfloat16", help="of all runs, the baseline too")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no cell after so many; 0: no limit")
    parser.add_argument("--processes", type=int, default=1, help="so many beside each other, each with every n-th pair")
    parser.add_argument("--part", default="1/1", help="k/n: only every n-th pair, to start processes by hand")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    return parser.parse_args(words)


def pairs_of(options: argparse.Namespace) -> Sequence[Pair]:
    """The pairs of this process."""
    from benchmarks.fidelity.prompts import FIRST_SEED  # torch is not needed to refuse a wrong part

    return part_of(options.part, pairs(options.prompts, options.seeds, FIRST_SEED[options.set]))


def run(options: argparse.Namespace) -> None:
    """Run what is missing, in this process."""
    until = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")  # loading is in the time
    import torch

    from benchmarks.fidelity.prompts import open_judge, wanted
    from benchmarks.fidelity.runs import Study
    from engine.models.loading import load_model

    torch.set_num_threads(options.threads)
    judge = open_judge(options.judge)
    study = Study(
        model=load_model(options.model, device="cpu", dtype=options.dtype),
        judge=judge,
        judge_hash=digest_of([options.judge]),
        out=options.out,
        cells=cells(tuple(POLICIES)),
        wanted=wanted(options.prompts, options.set),
        prompts=options.set,
        until=until,
    )
    count = study.run(pairs_of(options))
    print(f"{count} runs in {options.out}", flush=True)


def beside(options: argparse.Namespace) -> None:
    """Run the parts in processes of their own. Raises InvalidInput where one of them failed."""
    if options.part != "1/1":
        raise InvalidInput("part", "--part and --processes exclude each other; leave one of them out.")
    given = {"model", "judge", "set", "prompts", "seeds", "out", "dtype", "minutes", "threads"}
    shared = [word for name in sorted(given) for word in (f"--{name}", str(getattr(options, name)))]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fidelity", "run", f"--part={k}/{options.processes}", *shared]
        )
        for k in range(1, options.processes + 1)
    ]
    ended = [one.wait() for one in started]
    if any(ended):
        raise InvalidInput("processes", "a part of the study failed; its message is above. The rows so far are kept.")


def report(options: argparse.Namespace) -> None:
    """Write the page, its plots and its summary."""
    from benchmarks.fidelity.claims import names
    from benchmarks.fidelity.page import write_page

    rows = read_rows(options.out)
    if not rows:
        raise InvalidInput("out", f"{options.out} has no rows yet; run `python -m benchmarks.fidelity run` first.")
    command = "python -m training.judge --from weights/emoji-wan   # once\npython -m benchmarks.fidelity"
    command += f" --set {options.set} --prompts {options.prompts} --seeds {options.seeds}"
    print(names(write_page(rows, options.page, (options.prompts, options.seeds), command)))
    print(f"{options.page} is written from {len(rows)} runs.")


if __name__ == "__main__":
    sys.exit(main())
