"""Warnings of good runs: the inputs of configs/validation, and what pvmc status would say of each.

    python benchmarks/false_alarms.py [--factor F] [--output DIRECTORY] [NAME ...]

Each input runs for F times its own iterations (2 by default, long enough to settle), and a line says how good it is and
what it is warned of.  The last line counts; the exit code is 1 where there is a false alarm.  It is none that an input
projects on an excited level, or that a leak is confirmed by all configurations, counted one by one.  Some ten minutes
on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

from pvmc.cli import main as pvmc
from pvmc.io.reader import open_run
from pvmc.results.judged import judged
from pvmc.results.symptoms import symptoms
from pvmc.statistics.thresholds import LARGEST_LEAK
from pvmc.vmc.job import load_job

INPUTS = Path(__file__).resolve().parents[1] / "configs" / "validation"


def main() -> int:
    """The exit code: 1 where a run is warned of what is not so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of inputs; default: all")
    parser.add_argument("--factor", type=float, default=2.0, metavar="F", help="times the iterations; default: 2")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="keep the runs here, read those there")
    options = parser.parse_args()
    paths = [path for path in sorted(INPUTS.glob("*.toml")) if not options.names or path.stem in options.names]
    warned = 0
    print(f"{'input':<28}{'iterations':>11}{'relative error':>16}{'V-score':>10}  warnings")
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            directory = run(path, options.output or Path(scratch), options.factor)
            found = symptoms(part := judged(open_run(directory)))
            scale, exact = part.run.error_scale_per_site, part.run.reference_energy_per_site
            error = "-" if scale is None or exact is None else f"{(part.plateau.value - exact) / scale:.1e}"
            texts = "; ".join(f"{one.name}: {one.text}" for one in found) or "none"
            v_score = f"{part.mean('v_score') or 0.0:.1e}"
            print(f"{path.stem:<28}{len(part.run.iteration):>11}{error:>16}{v_score:>10}  {texts}", flush=True)
            names = {one.name for one in found} - {"excited"}
            if "leak" in names:
                sampled, counted = part.mean("variance") or 0.0, counted_variance(directory)
                print(f"{'':<28}variance {counted:.3g} by all configurations, {sampled:.3g} by the walkers", flush=True)
                names -= {"leak"} if sampled < (1.0 - LARGEST_LEAK) * counted else set()
            warned += bool(names)
    print(f"{warned} of {len(paths)} runs have a false alarm")
    return 1 if warned else 0


def counted_variance(directory: Path) -> float:
    """The variance of H in the last state of a run, by all configurations."""
    words = ["--set", "sampler.kind=exact", "--observables", "energy"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pvmc(["measure", str(directory), *words])
    return float(open_run(directory).measurements[-1].estimates["variance"].value)


def run(path: Path, output: Path, factor: float) -> Path:
    """The directory of a run of an input, which is made unless it is there."""
    directory = output / path.stem
    if not (directory / "run.h5").exists():
        iterations = round(factor * load_job(path).config.run.iterations)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = pvmc(["run", str(path), "--output", str(directory), "--set", f"run.iterations={iterations}"])
        if code != 0:
            raise SystemExit(f"{path}: the run ended with {code}")
    return directory


if __name__ == "__main__":
    sys.exit(main())
