"""The proof of a promotion: three finalists, three other seeds of each, one evaluation on the test split."""

import getpass
import platform
import re
import socket

from benchmarks.check_promotion import check_promotion, check_second_opening_refused
from benchmarks.command import contourney
from benchmarks.prove_studies import MOBILENET, Proof, mobilenet_study
from benchmarks.records import read_records
from benchmarks.results_page import Block, Figure


def prove_promote(proof: Proof) -> list[Figure | Block]:
    """The finalist of the highest mean over other seeds is evaluated once; a second opening is refused."""
    records, launched = mobilenet_study(proof)
    workspace = ("--workspace", str(proof.workspace))
    kept = proof.recall("promote")
    if kept is None:
        done = contourney("promote", MOBILENET, *workspace, "--json").must_exit(0)
        kept = proof.keep("promote", {"command": done.typed, "wall_s": done.wall_s})
        records = read_records(proof.workspace, MOBILENET)
    record, card = check_promotion(records)
    refusal, command = check_second_opening_refused(proof.workspace, MOBILENET), kept["command"]
    ledger = contourney("vault", "log", *workspace).must_exit(0)
    figures = [
        Figure("the search", f"{len(records.trials)} trials, {launched['wall_s']:.0f} s", launched["command"]),
        Figure("wall time of nine replicates, the choice and the evaluation", f"{kept['wall_s']:.0f} s", command),
    ]
    for one in record["choice"]["finalists"]:
        scores = ", ".join(f"{score:.4f}" for score in one["miou"])
        came = f"{scores}: mean {one['mean']:.4f}, SD {one['sd']:.4f}; in the search {one['value']:.4f}"
        seeds = ", ".join(map(str, one["seeds"]))
        figures.append(Figure(f"trial {one['trial']}, validation mIoU with seeds {seeds}", came, command))
    low, high = record["test"]["interval"]
    return [
        *figures,
        Figure(
            f"test mIoU of trial {record['trial']} ({record['test']['images']} images), 95 % interval",
            f"{record['test']['miou']:.6f}, {low:.4f} to {high:.4f}",
            command,
        ),
        Figure(
            "a second opening is refused, exit code 2", refusal, f"contourney promote {MOBILENET} {' '.join(workspace)}"
        ),
        Block(f"`{ledger.typed}`:\n\n```\n{_nobody(ledger.stdout.rstrip())}\n```"),
        Block("The model card that the promotion wrote, whole:"),
        Block(re.sub(r"^#", "###", _nowhere(card, proof), flags=re.MULTILINE)),
    ]


def _nobody(text: str) -> str:
    """The ledger's lines without who ran the proof."""
    return text.replace(f"{getpass.getuser()}@{socket.gethostname()}", "USER@HOST")


def _nowhere(card: str, proof: Proof) -> str:
    """The card, whose text is escaped for Markdown, without this machine's places and platform."""
    for word, place in (("WEIGHTS", str(proof.weights)), ("PLATFORM", platform.platform())):
        card = card.replace(place.replace("_", "\\_"), word)
    return card
