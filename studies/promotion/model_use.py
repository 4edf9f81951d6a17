"""How a promoted model is used, as its card says it: what goes in and comes out, commands to copy, where it is from."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import timm

from trainables.models.settings import ModelSettings
from trainables.models.table import DOWNLOAD
from trainables.settings import TrialSettings


def use_lines(record: Mapping[str, Any], trial: TrialSettings) -> list[str]:
    """What goes in, what comes out, and what of."""
    size = "any size" if trial.data.size is None else "any size, resized inside to {}×{}".format(*trial.data.size)
    labels = ", ".join(f"{index} {markdown(name)}" for index, name in enumerate(record["test"]["iou"]))
    known = {1: "1 (grey)", 3: "3 (red, green, blue)"}.get(record.get("channels", 0), "C")
    return [
        f"images uint8 [N, H, W, {known}] of {size} to label masks uint8 [N, H, W]; normalisation is inside",
        f"labels: {labels}",
        f"weights (SHA-256): `{record['weights']}`",
        f"test images and masks (SHA-256): `{record['fingerprint']}`",
        markdown(_origin(trial.model)),
    ]


def serving_words(record: Mapping[str, Any], registered: str) -> str:
    """Commands that a stranger can copy: a name is quoted as a shell takes it."""
    model = shlex.quote(f"models:/{registered}@champion")
    array = "convert('L'))[None, ..., None]" if record.get("channels") == 1 else "convert('RGB'))[None]"
    return f"""Masks of files, then a service and a request to it, with `MLFLOW_TRACKING_URI` naming the registry:

```sh
contourney predict {model} picture.png --output masks
mlflow models serve -m {model} --env-manager local --port 5001
python -c "import json, numpy, PIL.Image
image = numpy.asarray(PIL.Image.open('picture.png').{array}
print(json.dumps({{'inputs': image.tolist()}}))" > picture.json
curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d @picture.json
```

The answer is `{{"predictions": [[[label, …], …]]}}`, a list of masks of the pictures' sizes. The service needs the \
packages below in its environment and reads no pickle."""


def _origin(model: ModelSettings) -> str:
    """Where the initial weights come from and under which licence, as far as that is known."""
    if model.weights is None:
        return "initial weights: random"
    if model.weights == DOWNLOAD:
        known = timm.get_pretrained_cfg(model.encoder)
        return f"initial weights: timm's {known.architecture}.{known.tag}, licence {known.license or 'not stated'}"
    return f"initial weights: the file {model.weights}, whose licence is not recorded"


def markdown(value: Any) -> str:
    """A text as Markdown shows it verbatim, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))
