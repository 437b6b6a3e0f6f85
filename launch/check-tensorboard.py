#!/usr/bin/env python3
"""Reads the event files of a run with TensorBoard's own reader and says what it finds.

    launch/check-tensorboard.py FOLDER

Where FOLDER (or the one above it) holds metrics.jsonl, every loss, held-out loss and expert load is
compared with it. Exit 1 at the first disagreement. Needs the Python package `tensorboard`:

    python3 -m venv .venv && .venv/bin/pip install tensorboard
"""
import json
import math
import pathlib
import struct
import sys

try:
    from tensorboard.backend.event_processing import plugin_event_accumulator
    from tensorboard.util import tensor_util
except ImportError as error:
    sys.exit(f"{error}: python3 -m venv .venv && .venv/bin/pip install tensorboard")


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read(folder):
    """Tag -> {step: array}, and which tags are histograms."""
    events = plugin_event_accumulator.EventAccumulator(
        str(folder), size_guidance={plugin_event_accumulator.TENSORS: 0})
    events.Reload()
    series, histograms = {}, set()
    for tag in events.Tags()["tensors"]:
        values = events.Tensors(tag)
        steps = [value.step for value in values]
        if any(later <= earlier for earlier, later in zip(steps, steps[1:])):
            sys.exit(f"{tag}: steps do not grow")
        series[tag] = {value.step: tensor_util.make_ndarray(value.tensor_proto) for value in values}
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "histograms":
            histograms.add(tag)
    return series, histograms


def expected(path):
    """(tag, step) -> what metrics.jsonl says of it."""
    result = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        step = record["step"]
        if record["kind"] == "step":
            result["train/loss", step] = record["loss"]
            result["train/gradient_norm", step] = record["gradient_norm"]
        elif record["kind"] == "evaluation":
            result["held_out/loss", step] = record["loss"]
        elif record["kind"] == "router":
            for layer in record["layers"]:
                result[f"router/layer_{layer['layer']}/load", step] = layer["counts"]
    return result


def agrees(seen, told):
    if isinstance(told, list):  # a row a bar: left edge, right edge, height; none for empty ends
        bars = {int(left + 0.5): height for left, right, height in seen.tolist() if right == left + 1}
        full = len(bars) == len(seen)
        return full and [bars.get(expert, 0) for expert in range(len(told))] == [float32(n) for n in told]
    if told is None:  # a number that JSON cannot hold
        return not math.isfinite(float(seen))
    return float(seen) == float32(told)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    series, histograms = read(folder)
    if not series:
        sys.exit(f"{folder}: no event file that TensorBoard reads")
    for tag in sorted(series):
        last = max(series[tag])
        kind = "histogram" if tag in histograms else f"{float(series[tag][last]):.6g}"
        print(f"{tag:40} {len(series[tag]):7} steps, {kind} at step {last}")

    for candidate in (folder / "metrics.jsonl", folder.parent / "metrics.jsonl"):
        if not candidate.exists():
            continue
        told = expected(candidate)
        for (tag, step), value in told.items():
            if step not in series.get(tag, {}):
                sys.exit(f"{tag}: step {step} is in {candidate} only")
            if not agrees(series[tag][step], value):
                sys.exit(f"{tag}, step {step}: {series[tag][step]} here, {value} in {candidate}")
        for tag, step in ((tag, step) for tag in {tag for tag, _ in told} for step in series[tag]):
            if (tag, step) not in told:
                sys.exit(f"{tag}: step {step} is not in {candidate}")
        print(f"{len(told)} values agree with {candidate}")
        break


main()
