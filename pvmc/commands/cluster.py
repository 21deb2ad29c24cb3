"""Machines: jobs, timings, kernels ahead of them, and what there is."""

from __future__ import annotations

import argparse
import time

from pvmc.commands.shared import directory, shared_job


def submit(options: argparse.Namespace) -> int:
    """``pvmc submit``."""
    import shlex
    import sys

    from pvmc.submission import Request, array, check, find_sbatch, prepare, render
    from pvmc.submission import submit as hand_over

    elements = array.alphas(options.array_alpha) if options.array_alpha is not None else None
    if options.array_seeds is not None:
        elements = array.seeds(options.array_seeds)
    file = options.write or options.config.with_suffix(".sbatch")
    request = Request(
        config=options.config,
        ntasks=options.ntasks,
        time=options.time,
        file=file,
        output=directory(options),
        command=["pvmc", *sys.argv[1:]],
        overrides=options.set,
        nodes=options.nodes,
        partition=options.partition,
        account=options.account,
        memory=options.mem_per_cpu,
        name=options.name,
        launcher=options.launcher,
        array=elements,
    )
    text = render(check(request))
    if options.go:
        find_sbatch()  # before anything is written
    prepare(text, file, options.overwrite)
    print(f"wrote {file}", flush=True)
    print(f"submitted as job {hand_over(file)}" if options.go else f"next: sbatch {shlex.quote(str(file))}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """Collective. ``pvmc bench``."""
    from pvmc.benchmark import bench
    from pvmc.resources import require_memory

    job, _, comm = shared_job(options)
    require_memory(job, comm, str(options.config))
    timing = bench(job, comm, options.iterations)
    comm.on_root(lambda: timing.report(options.json))
    return 0


def warmup(options: argparse.Namespace) -> int:
    """``pvmc warmup``."""
    from pvmc.compilation import all_jobs, start_compiler, warm_up
    from pvmc.job import load_job
    from pvmc.numerics.kernels import kernel_directory

    begin = time.perf_counter()
    start_compiler()
    jobs = ((str(path), load_job(path, options.set)) for path in options.configs) if options.configs else all_jobs()
    for name, job in jobs:
        start = time.perf_counter()
        warm_up(job)
        print(f"{name:<50} {time.perf_counter() - start:6.1f} s", flush=True)
    print(f"kernels are compiled, in {time.perf_counter() - begin:.1f} s: {kernel_directory() or 'kept nowhere'}")
    return 0


def info(options: argparse.Namespace) -> int:
    """``pvmc info``."""
    from pvmc.io import provenance
    from pvmc.mpi import describe_mpi, describe_threads, node_of, world
    from pvmc.numerics.kernels import kernel_directory

    comm = world()
    node = node_of(comm)
    if comm.rank == 0:
        mpi = describe_mpi()
        ranks = {"ranks": comm.size, "ranks_on_node": node.ranks, "cores_on_node": node.cores}
        kernels = {"kernels": str(kernel_directory() or "kept nowhere: no directory can be written to")}
        facts = {**provenance.collect(), **mpi, **describe_threads(), **ranks, **kernels}
        for name, value in facts.items():
            if value not in ("", 0) and name not in ("pid", "command_line"):
                print(f"{name.replace('_', ' '):<20} {value}")
    return 0
