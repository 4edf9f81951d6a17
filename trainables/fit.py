"""Train one configuration without Ray: python -m trainables.fit CONFIG.yaml [--output DIR]."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trainables.check import check_settings
from trainables.settings import TrialSettings
from trainables.trial_folder import DiskFull, Row
from trainables.trial_run import TrialRun

REFUSED = 2


class ConfigError(ValueError):
    """A configuration file that cannot be used."""


def read_config(path: Path) -> TrialSettings:
    """Settings of a YAML file: a trial's, or a study's fixed ones under `trial`; raises ConfigError."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
        if isinstance(content, dict) and "trial" in content:
            content = content["trial"]
        return TrialSettings.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        findings = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join(f"{path}: {finding}" for finding in findings)) from error


def fit(settings: TrialSettings, output: Path, cache: Path) -> Iterator[Row]:
    """Train to the end in a folder, yielding each epoch's row; a folder that holds a part of it is gone on with.

    Raises the ValueErrors of settings and data, and ConfigError for a folder of other settings.
    """
    check_settings(settings)
    kept = output / "settings.json"
    text = settings.model_dump_json(indent=1) + "\n"
    if kept.exists() and kept.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{output} holds a training with other settings; choose another --output")
    run = TrialRun(settings, output, cache)
    kept.write_text(text, encoding="utf-8")
    while True:
        row = run.next_row()
        yield row
        if row["end"] is not None:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainables.fit", description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file with a trial's settings")
    parser.add_argument("--output", type=Path, default=Path("fit"), help="folder of the results (default: ./fit)")
    parser.add_argument("--cache", type=Path, help="folder of prepared data (default: OUTPUT/cache)")
    options = parser.parse_args(arguments)
    try:
        for row in fit(read_config(options.config), options.output, options.cache or options.output / "cache"):
            print(_line(row), flush=True)
    except (ValueError, DiskFull) as error:
        print(error, file=sys.stderr)
        return REFUSED
    print(f"best weights: {options.output / 'best.pt'}")
    return 0


def _line(row: Row) -> str:
    figures = ("train/loss", "val/loss", "val/miou", "val/pixel_accuracy", "lr")
    shown = "  ".join(f"{name} {row['metrics'][name]}" for name in figures if name in row["metrics"])
    return f"epoch {row['epoch']}  {shown}  {row['device_s']:.1f} s" + (f"  {row['end']}" if row["end"] else "")


if __name__ == "__main__":
    sys.exit(main())
