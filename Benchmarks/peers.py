#!/usr/bin/env python3
"""Prints the runs that peers.sh collected as tables of medians, with ratios and bars: peers.py RUNS.jsonl.

Exit 1 when a bar is missed, so that a proof can call it; a bar without both figures counts as missed.
Runs that other processes disturbed are counted, and left out of every rate.
"""

import argparse
import collections
import csv
import json
import pathlib
import statistics
import sys

COLUMNS = [
    "preset", "impl", "threads", "ddp", "preload", "tokens_per_s", "ms_median", "gflops",
    "ref_matmul_gflops", "peak_rss_mb", "other_cores_busy"]
# What importing PyTorch alone keeps resident; it is no part of what training needs.
IMPORT_MB = 527


# What `apus benchmark --json` calls the same things.
OURS = {
    "tokens_per_second": "tokens_per_s", "milliseconds": "ms_median",
    "product_gflops": "ref_matmul_gflops", "peak_megabytes": "peak_rss_mb"}


def read(line):
    """A run by PyTorch's names; Apus counts ranks from 1 and says the memory of its largest."""
    run = json.loads(line)
    if run["impl"] != "apus":
        return run
    ranks = run.pop("ranks")
    return {OURS.get(k, k): v for k, v in run.items()} | {"ddp": ranks if ranks > 1 else 0}


def kernels(run):
    if run["impl"] == "apus":
        return ""
    return "AVX-512" if run.get("preload") else "as installed"


def layout(run):
    return f"{run['ddp']} × 1 thread" if run.get("ddp") else f"{run['threads']} threads"


def groups(runs):
    """Runs by (preset, layout, impl, kernels), in the order of the table."""
    found = collections.defaultdict(list)
    for run in runs:
        found[run["preset"], layout(run), run["impl"], kernels(run)].append(run)
    return dict(sorted(found.items(), key=lambda g: (g[0][0], g[0][1] != "2 threads", g[0][2:])))


def disturbed(run):
    """Other processes took more than 0.08 of a core meanwhile: PyTorch's rate is then worth nothing."""
    return run.get("other_cores_busy", 0) > 0.08


def median(runs, key):
    """Of the undisturbed runs."""
    values = [r[key] for r in runs if r.get(key) and not disturbed(r)]
    return statistics.median(values) if values else None


def cell(value, form):
    return "–" if value is None else format(value, form)


def table(found):
    print("| set | layout | | kernels | tokens/s | lowest to highest | ms a step | GFLOP/s "
          "| of the product rate | peak MB | rounds |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for (preset, where, impl, kernel), runs in found.items():
        rates = [r["tokens_per_s"] for r in runs]
        gflops, peak = median(runs, "gflops"), median(runs, "ref_matmul_gflops")
        share = gflops / peak if gflops and peak else None
        lost = sum(map(disturbed, runs))
        print(f"| {preset} | {where} | {impl} | {kernel} | {cell(median(runs, 'tokens_per_s'), '.0f')} "
              f"| {min(rates):.0f} to {max(rates):.0f} | {cell(median(runs, 'ms_median'), '.1f')} "
              f"| {cell(gflops, '.0f')} | {cell(share, '.0%')} "
              f"| {cell(median(runs, 'peak_rss_mb'), '.0f')} "
              f"| {len(runs)}{f', {lost} disturbed' if lost else ''} |")


def best(found, preset, where, kernel):
    """The fastest PyTorch variant: (tokens/s, impl), or None."""
    rates = [
        (median(runs, "tokens_per_s"), key[2]) for key, runs in found.items()
        if key[2] != "apus" and (key[0], key[1], key[3]) == (preset, where, kernel)]
    return max((r for r in rates if r[0]), default=None)


def bars(found):
    """Prints each bar of the speed and memory rows; True when all are met."""
    print("\n| set | | apus | PyTorch's best | ratio | bar | |\n|---|---|---|---|---|---|---|")
    good = True
    for preset in sorted({key[0] for key in found}):
        for where, kernel, bar in (
            ("2 threads", "as installed", 2.0), ("2 threads", "AVX-512", 1.1),
            ("2 × 1 thread", "AVX-512", 1.3),
        ):
            ours = median(found.get((preset, where, "apus", ""), []), "tokens_per_s")
            peer = best(found, preset, where, kernel)
            ratio = ours / peer[0] if ours and peer else None
            met = ratio is not None and ratio >= bar
            good &= met
            named = f"{peer[0]:.0f} {peer[1]}" if peer else "–"
            print(f"| {preset} | {where}, {kernel} | {cell(ours, '.0f')} | {named} "
                  f"| {cell(ratio, '.2f')} | ≥ {bar} | {'met' if met else 'missed'} |")
        good &= memory(found, preset)
    return good


def memory(found, preset):
    """16 B a parameter, 0.6 × what PyTorch's smallest needs beyond that and its import, and 60 MB."""
    peers = [
        run for key, runs in found.items() for run in runs
        if key[0] == preset and key[1] == "2 threads" and key[2] != "apus"]
    ours = median(found.get((preset, "2 threads", "apus", ""), []), "peak_rss_mb")
    if not peers:
        return False
    smallest = min(run["peak_rss_mb"] for run in peers)
    weights = 16 * peers[0]["n_total"] / 1e6
    bar = weights + 0.6 * (smallest - IMPORT_MB - weights) + 60
    met = ours is not None and ours <= bar
    print(f"| {preset} | peak MB | {cell(ours, '.0f')} | {smallest:.0f} "
          f"| {cell(ours and ours / smallest, '.2f')} | ≤ {bar:.0f} MB | {'met' if met else 'missed'} |")
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("--csv", type=pathlib.Path, help="writes every run, one a row")
    arguments = parser.parse_args()
    runs = [read(line) for line in arguments.runs.read_text().splitlines()]
    if not runs:
        parser.error(f"{arguments.runs} holds no run")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(runs)
    found = groups(runs)
    table(found)
    sys.exit(0 if bars(found) else 1)


if __name__ == "__main__":
    main()
