import base64
import io
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image

from dashboards.figures.pictures import draw_pictures, pictures_table, save_picture_rows
from dashboards.masks import FALSE, MISSED, OTHER, colour_mask, read_pictures
from dashboards.palette import DARK, class_colour
from tests.dashboards.studies import CLASSES, Builder, write_pictures


@pytest.fixture
def with_pictures(builder: Builder) -> Builder:
    write_pictures(builder.folder(builder.trial([0.5], TrialState.COMPLETE, "finished")))
    return builder


def test_masks_become_the_legends_colours_and_ignored_pixels_black() -> None:
    colours = colour_mask(np.array([[0, 3], [255, 1]], dtype=np.uint8))
    assert colours.dtype == np.uint8
    for place, index in (((0, 0), 0), ((0, 1), 3), ((1, 1), 1)):
        assert "#" + bytes(colours[place]).hex() == class_colour(index)
    assert colours[1, 0].tolist() == [0, 0, 0]


def test_the_table_counts_pixels_right_over_those_that_count(with_pictures: Builder) -> None:
    rows = pictures_table(with_pictures.read())
    assert [row["picture"] for row in rows] == ["frame_0", "frame_1", "frame_2", "frame_3"]
    # The prediction is the truth but for a corner of 2 by 5 pixels, which the last mask ignores.
    assert rows[0]["pixels right"] == 1 - 10 / (32 * 64)
    assert rows[3]["pixels right"] == 1.0
    assert rows[3]["classes in truth"] == "background, soil, bedrock, sand"


def test_each_picture_is_a_row_of_four_with_one_legend(with_pictures: Builder) -> None:
    figure = draw_pictures(with_pictures.read())
    images = figure.layout.images
    assert len(images) == 16
    legend = [trace.name for trace in figure.data if trace.type == "scatter"]
    assert legend == [*CLASSES, "ignored", "wrong"]
    decoded = Image.open(io.BytesIO(base64.b64decode(images[13].source.partition(",")[2])))
    truth = read_pictures(with_pictures.read().trials[0].folder / "pictures.npz")[3].truth_HW
    np.testing.assert_array_equal(np.asarray(decoded), colour_mask(truth))


def test_without_pictures_the_figure_says_where_they_were_expected(builder: Builder) -> None:
    builder.trial([0.5], TrialState.COMPLETE, "finished")
    assert "are not here: expected" in draw_pictures(builder.read()).layout.meta["missing"]


def test_rows_are_saved_with_image_truth_and_prediction_side_by_side(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    paths = save_picture_rows(tmp_path / "pictures.npz", tmp_path / "rows", CLASSES)
    assert [path.name for path in paths] == ["00.png", "01.png", "02.png", "03.png"]
    saved = np.asarray(Image.open(paths[0]))
    picture = read_pictures(tmp_path / "pictures.npz")[0]
    np.testing.assert_array_equal(saved[:32, :64], np.repeat(picture.image_HWC, 3, axis=2))
    np.testing.assert_array_equal(saved[:32, 70:134], colour_mask(picture.truth_HW))
    np.testing.assert_array_equal(saved[:32, 140:204], colour_mask(picture.prediction_HW))


def test_no_colour_of_a_class_is_one_that_a_theme_replaces() -> None:
    assert not ({class_colour(index) for index in range(48)} | {MISSED, FALSE, OTHER}) & set(DARK)
    assert len({class_colour(index) for index in range(48)}) == 48
