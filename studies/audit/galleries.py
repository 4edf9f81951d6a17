"""Pictures of what was found: images with their masks, small, inside the page."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dashboards.masks import colour_mask
from studies.audit.counting import class_names
from studies.audit.run import Audited
from trainables.data.errors import DataError
from trainables.data.splits import IGNORE

LONGEST_PX = 240
EXAMPLES = 6
ROWS = 6
IN_ROW = 3
QUALITY = 82


@dataclass(frozen=True)
class Card:
    """An image and its mask as data addresses; of test no mask is shown."""

    name: str
    detail: str
    image: str
    mask: str | None


@dataclass(frozen=True)
class Gallery:
    """A finding with rows of cards that belong together."""

    id: str
    title: str
    note: str
    rows: list[list[Card]]
    left_out: str


class Pictures:
    """Reads the pictures of an audited data set again, those that are shown."""

    def __init__(self, found: Audited) -> None:
        self._found = found
        self._seen = {one.name: one for one in found.seen}
        self._classes = len(class_names(found.listed, found.seen))

    def galleries(self) -> list[Gallery]:
        """One for every finding that pictures tell more of than words."""
        audit = self._found.audit
        pairs = [[row["first"], row["second"]] for row in audit.across]
        details = {row["second"]: f"correlation {row['similarity']:.3f}" for row in audit.across}
        # Masks of contaminated images are shown with those already.
        bad = set(audit.contaminated)
        same_masks = [group for group in audit.identical_masks if not bad.issuperset(group)]
        singles = [row["name"] for row in audit.single_class_masks]
        made = [
            self._one_row(
                "contaminated",
                "Contaminated: one mask on images unlike each other",
                "At most one of them can own the mask. They are in the list above.",
                audit.contaminated,
            ),
            self._many(
                "across",
                "The same or nearly the same image in two splits",
                "What is learned from the first is asked of the second; a launch refuses it for validation.",
                pairs,
                details,
            ),
            self._many(
                "identical-images", "Identical images", "Pixel by pixel; all but one are in the list above.",
                audit.identical_images,
            ),
            self._many(
                "near-images",
                "Nearly identical images",
                "Linked by correlation: of a slow video, all frames of a scene. They should not straddle splits.",
                audit.near_images,
            ),
            self._many("identical-masks", "Identical masks", "Of two classes or more.", same_masks),
            self._many("near-masks", "Nearly identical masks", "Mean IoU of 0.95 or more.", audit.near_masks),
            self._one_row("empty", "Masks without a labelled pixel", "They teach nothing.", audit.empty_masks),
            self._one_row("single", "Masks of one class", "Right for some data, forgotten labels in others.", singles),
            self._one_row(
                "outlying",
                "Outlying brightness",
                "More than 3 standard deviations off; data.clean.outliers leaves such out of training.",
                [row["name"] for row in audit.outlying],
                {row["name"]: f"{row['deviations']:+.1f} deviations" for row in audit.outlying},
            ),
        ]  # fmt: skip
        return [one for one in made if one is not None]

    def examples(self) -> list[Card]:
        """A few images of training and validation, evenly spaced over what was read."""
        whole = [one.name for one in self._found.seen if one.grey is not None and not one.is_test]
        places = np.linspace(0, len(whole) - 1, min(EXAMPLES, len(whole))).round().astype(int)
        return [card for place in places for card in [self._card(whole[place])] if card is not None]

    def _one_row(
        self, key: str, title: str, note: str, names: Sequence[str], details: dict[str, str] | None = None
    ) -> Gallery | None:
        """Single images, wrapped over lines."""
        cards = self._cards(names[: ROWS * 2], details or {})
        rest = len(names) - ROWS * 2
        return Gallery(key, title, note, [cards], f"{rest} more images" if rest > 0 else "") if cards else None

    def _many(
        self, key: str, title: str, note: str, groups: Sequence[Sequence[str]], details: dict[str, str] | None = None
    ) -> Gallery | None:
        """Groups, one a row."""
        rows = [self._cards(group[:IN_ROW], details or {}, len(group)) for group in groups[:ROWS]]
        rest = len(groups) - ROWS
        return Gallery(key, title, note, rows, f"{rest} more groups" if rest > 0 else "") if any(rows) else None

    def _cards(self, names: Iterable[str], details: dict[str, str], of: int = 0) -> list[Card]:
        cards = [card for name in names if (card := self._card(name, details.get(name, ""))) is not None]
        if cards and of > len(cards):
            last = cards[-1]
            more = f"and {of - len(cards)} more"
            cards[-1] = Card(last.name, f"{last.detail}, {more}" if last.detail else more, last.image, last.mask)
        return cards

    def _card(self, name: str, detail: str = "") -> Card | None:
        one = self._seen[name]
        try:
            image_HWC = self._found.listed.dataset.image(one.sample)
            mask_HW = None if one.is_test else self._found.listed.dataset.mask(one.sample)
        except DataError:
            return None
        words = f"{one.split}, {detail}" if detail else str(one.split)
        return Card(name, words, _address(image_HWC, "JPEG"), None if mask_HW is None else self._mask(mask_HW))

    def _mask(self, mask_HW: np.ndarray) -> str:
        ignored = [*self._found.listed.dataset.ignored]
        void_HW = np.isin(mask_HW, ignored) | (mask_HW < 0) | (mask_HW >= self._classes)
        return _address(colour_mask(np.where(void_HW, IGNORE, mask_HW).astype(np.uint8)), "PNG")


def _address(array_HWC: np.ndarray, kind: str) -> str:
    """A picture as a data address, at most 240 pixels long; masks by the nearest pixel."""
    height, width = array_HWC.shape[:2]
    scale = min(1.0, LONGEST_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(array_HWC[..., 0] if array_HWC.shape[2] == 1 else array_HWC)
    picture = picture.resize(size, Image.Resampling.NEAREST if kind == "PNG" else Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **({"quality": QUALITY} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
