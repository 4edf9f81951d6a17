"""Evaluate a trial's best weights on the validation split in this process: python -m benchmarks.recompute FOLDER CACHE.

Batch size, precision and threads are those of the trial. Prints JSON.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.device import set_threads
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    best, cache = Path(arguments[0]) / "best.pt", Path(arguments[1])
    content = torch.load(best, map_location="cpu", weights_only=True)
    settings = TrialSettings.model_validate_json(content["settings"])
    applied = json.loads(content["applied"])
    set_threads(applied["threads"])
    found = evaluate_checkpoint(best, settings, prepare(settings.data, Split.VALIDATION, cache))
    kept = {name: applied[name] for name in ("threads", "precision", "device")}
    print(json.dumps({**kept, "batch_size": settings.batch_size, "counts": found.counts_KK.tolist()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
