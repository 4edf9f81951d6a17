"""Prove what must hold, through the real command line: python -m benchmarks.prove [SECTION ...]."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.check_refusals import CASES, check_refused
from benchmarks.check_report import check_report
from benchmarks.check_study import check_interruption, check_study
from benchmarks.check_weights import check_encoder_unmoved, check_recomputed
from benchmarks.command import ROOT, contourney, run_module
from benchmarks.expect import ProofError, expect, expect_that
from benchmarks.prove_promotion import prove_promote
from benchmarks.prove_recipes import prove_pretrained, prove_reports
from benchmarks.prove_studies import MOBILENET, UNET, Proof, mobilenet_arguments, mobilenet_study, unet_study
from benchmarks.records import read_records
from benchmarks.results_page import Block, Figure, write_page
from studies.files.study_file import load_study

KNOBS = ("optimizer.lr", "schedule.name", "loss.class_weights", "augment.set", "model.unfreeze")


def prove_unet(proof: Proof) -> list[Figure | Block]:
    """A third PRUNED, the rest COMPLETE, every epoch recorded, MLflow the same, importance in the report."""
    records, kept = unet_study(proof)
    counts = check_study(records, proof.unet_trials, proof.unet_epochs)
    report = contourney("report", UNET, "--workspace", str(proof.workspace)).must_exit(0)
    parameters = [*KNOBS[:-1], "loss.terms.dice.weight"]
    size = check_report(Path(report.stdout.strip().splitlines()[-1]), parameters, counts)
    epochs = sum(len(trial.intermediate_values) for trial in records.trials)
    best = records.best
    return [
        Figure("wall time until the interruption", f"{kept['wall_s']:.0f} s", kept["command"]),
        Figure("wall time after it", f"{kept['resumed']['wall_s']:.0f} s", kept["resumed"]["command"]),
        Figure("trials by state, in Optuna, MLflow and the report", _words(counts), kept["resumed"]["command"]),
        Figure("epochs recorded, the same in Optuna, MLflow and the folders", f"{epochs}", kept["resumed"]["command"]),
        Figure(
            "best validation mIoU",
            f"{best.value:.6f}, trial {best.number}, epoch {best.user_attrs['best_epoch']}: {_words(best.params)}",
            kept["resumed"]["command"],
        ),
        Figure("report with importance and a panel of each parameter", f"{size:,} bytes", report.typed),
    ]


def prove_interruption(proof: Proof) -> list[Figure | Block]:
    """Ctrl-C in the middle, then resume: exactly the budget, none repeated."""
    records, kept = unet_study(proof)
    left = kept["left"]
    check_interruption(left, records, proof.unet_trials)
    check_study(records, proof.unet_trials, proof.unet_epochs)
    waiting = {f"trial {number}": f"from epoch {len(values) + 1}" for number, values in left["waiting"].items()}
    return [
        Figure("trials by state after Ctrl-C", _words(left["states"]), kept["command"]),
        Figure("trials that went on under their own number", _words(waiting), kept["resumed"]["command"]),
        Figure(
            "trials in the end, no two of the same parameters, no epoch recorded twice",
            f"{len(records.trials)}",
            kept["resumed"]["command"],
        ),
    ]


def prove_recompute(proof: Proof) -> list[Figure | Block]:
    """The best trial's validation mIoU comes again out of its weights in a new process."""
    records, kept = unet_study(proof)
    recorded, came, under, done = check_recomputed(records)
    return [
        Figure(f"recorded validation mIoU of trial {records.best.number}", f"{recorded:.8f}", kept["command"]),
        Figure(f"the same from its weights in a new process ({_words(under)})", f"{came:.8f}", done.typed),
    ]


def prove_mobilenetv2(proof: Proof) -> list[Figure | Block]:
    """All five knobs searched together and shown; the name cannot be launched twice."""
    records, kept = mobilenet_study(proof)
    counts = check_study(records, proof.mobilenet_trials, proof.mobilenet_epochs, least_pruned=0)
    report = contourney("report", MOBILENET, "--workspace", str(proof.workspace)).must_exit(0)
    size = check_report(Path(report.stdout.strip().splitlines()[-1]), KNOBS, counts)
    second = contourney(*mobilenet_arguments(proof)).must_exit(2)
    for word in ("exists", "resume", "extend", "--name"):
        expect_that(word in second.output, f"a refusal that says {word!r}", second.output)
    expect("trials after the refused launch", len(read_records(proof.workspace, MOBILENET).trials), len(records.trials))
    best = records.best
    return [
        Figure("wall time", f"{kept['wall_s']:.0f} s", kept["command"]),
        Figure("trials by state", _words(counts), kept["command"]),
        Figure(
            "best validation mIoU", f"{best.value:.6f}, trial {best.number}: {_words(best.params)}", kept["command"]
        ),
        Figure(f"report with all five knobs: {', '.join(KNOBS)}", f"{size:,} bytes", report.typed),
        Figure("a second launch under the name, exit code 2", second.output.strip(), kept["command"]),
    ]


def prove_frozen(proof: Proof) -> list[Figure | Block]:
    """At `decoder`, nothing of the encoder moves by a bit in two epochs."""
    overrides = (
        f"trial.data.root={proof.data}",
        f"trial.model.weights={proof.weights}",
        "space.model.unfreeze=null",
        "space.optimizer.lr=null",
        "trial.model.unfreeze=decoder",
        "trial.epochs=2",
        "trial.optimizer.lr=1e-3",
        *(override for override in proof.overrides if not override.startswith("trial.epochs=")),
    )
    folder = proof.workspace / "frozen"
    if not (folder / "fit" / "last.pt").is_file():
        trial = load_study(MOBILENET, overrides).trial
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        (folder / "config.yaml").write_text(trial.model_dump_json(indent=1))
        cache = ("--cache", str(proof.workspace / "cache"))
        fit = run_module("trainables.fit", str(folder / "config.yaml"), "--output", str(folder / "fit"), *cache)
        proof.keep("frozen", {"command": fit.must_exit(0).typed})
    rows = [json.loads(line) for line in (folder / "fit" / "epochs.jsonl").read_text().splitlines()]
    expect("epochs trained", len(rows), 2)
    command = (proof.recall("frozen") or {})["command"]
    figures = []
    for name in ("last.pt", "best.pt"):
        found = check_encoder_unmoved(folder / "fit" / name, proof.weights)
        words = f"0 of {found['tensors']} ({found['batch_norm_statistics']} of them BatchNorm statistics)"
        figures.append(Figure(f"tensors of the encoder in {name} that differ from the weights file", words, command))
    losses = ", ".join(f"{row['metrics']['train/loss']:.4f}" for row in rows)
    return [*figures, Figure("training loss of the two epochs, while the decoder learns", losses, command)]


def prove_bad_input(proof: Proof) -> list[Figure | Block]:
    """Every bad input is refused with a short message, and nothing is half-made."""
    figures = []
    for name in CASES:
        with tempfile.TemporaryDirectory(prefix="contourney-refused-") as folder:
            message = check_refused(name, Path(folder))
        figures.append(Figure(name, message, f"python -m benchmarks.prove bad-input  # {name}"))
    return figures


SECTIONS: dict[str, tuple[str, Callable[[Proof], list[Figure | Block]]]] = {
    "unet": ("1. A study of camvid-unet: pruned, recorded, reported", prove_unet),
    "recompute": ("2. The recorded mIoU comes out of the weights again", prove_recompute),
    "mobilenetv2": ("3. All five knobs over ImageNet weights", prove_mobilenetv2),
    "interruption": ("4. Ctrl-C and resume", prove_interruption),
    "frozen": ("5. What is frozen does not move", prove_frozen),
    "bad-input": ("7. Bad input is refused", prove_bad_input),
    "pretrained": ("ImageNet weights against random ones, the same budget", prove_pretrained),
    "reports": ("The rows of three Mars reports on generated terrain", prove_reports),
    "promote": ("Three finalists, three other seeds of each, one evaluation on the test split", prove_promote),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the named sections, all without a name; exit 1 if one does not hold."""
    parsed = _parser().parse_args(arguments)
    if unknown := [name for name in parsed.sections if name not in SECTIONS]:
        _parser().error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    proof, temporary = _proof(parsed)
    proved: dict[str, list[Figure | Block]] = {}
    failed = False
    for name in parsed.sections or SECTIONS:
        started = time.monotonic()
        try:
            proved[name] = [_without_places(figure, proof) for figure in SECTIONS[name][1](proof)]
        except ProofError as error:
            failed = True
            print(f"{name}: does not hold: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{name}: holds ({time.monotonic() - started:.0f} s)", flush=True)
    write_page(parsed.page, {name: title for name, (title, _) in SECTIONS.items()}, proved)
    print(parsed.page)
    if failed or not temporary:
        print(f"workspace: {proof.workspace}")
    else:
        shutil.rmtree(proof.workspace)
    return 1 if failed else 0


def _words(facts: Mapping[str, object]) -> str:
    """Facts in a line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items()
    )


def _without_places(figure: Figure | Block, proof: Proof) -> Figure | Block:
    """The figure or table with words for the folders of this machine."""
    places = {"CHECKOUT": ROOT, "WORKSPACE": proof.workspace, "CAMVID": proof.data, "WEIGHTS": proof.weights}
    words = [figure.text] if isinstance(figure, Block) else [figure.what, figure.came, figure.command]
    for word, place in places.items():
        words = [text.replace(str(place), word) for text in words]
    return type(figure)(*words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove", description=__doc__)
    shared = Path(os.environ.get("CONTOURNEY_SHARED", ROOT.parent / "shared"))
    weights = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    add = parser.add_argument
    add("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; all without one")
    add("--workspace", type=Path, help="folder of the studies; one that holds them is read, not trained again")
    add("--data", type=Path, default=shared / "data" / "camvid", help="CamVid (default: %(default)s)")
    add("--weights", type=Path, default=weights, help="ImageNet weights (default: %(default)s)")
    add("--page", type=Path, default=ROOT / "docs" / "results.md", help="page to write (default: %(default)s)")
    add("--unet-trials", type=int, default=24, metavar="N")
    add("--unet-epochs", type=int, default=12, metavar="N")
    add("--mobilenetv2-trials", type=int, default=16, metavar="N")
    add("--mobilenetv2-epochs", type=int, default=4, metavar="N")
    add("--set", action="append", default=[], metavar="PATH=VALUE", help="put over both recipes, to try at small size")
    return parser


def _proof(parsed: argparse.Namespace) -> tuple[Proof, bool]:
    """What to prove, and whether its workspace is a temporary one."""
    temporary = parsed.workspace is None
    workspace = Path(tempfile.mkdtemp(prefix="contourney-prove-")) if temporary else parsed.workspace
    proof = Proof(
        workspace=workspace.absolute(),
        data=parsed.data.absolute(),
        weights=parsed.weights.absolute(),
        unet_trials=parsed.unet_trials,
        unet_epochs=parsed.unet_epochs,
        mobilenet_trials=parsed.mobilenetv2_trials,
        mobilenet_epochs=parsed.mobilenetv2_epochs,
        overrides=tuple(parsed.set),
    )
    return proof, temporary


if __name__ == "__main__":
    sys.exit(main())
