"""The replacement of a study by other content, which a crash at any point leaves to be repaired.

Optuna's storages rename nothing. A study is replaced by way of a second one, `NAME/contourney-copy`: written, compared,
marked as ready; then the first is deleted, written anew from the copy and compared again; then the copy is deleted. At
every moment one of the two is whole, and the mark says which. Only the lease's holder may replace or repair.
"""

from collections.abc import Iterable

import optuna
from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy

from search.copying import READY, StudyContent, find_difference, read_content, write_content

COPY = "/contourney-copy"


def replace(name: str, content: StudyContent, storage: BaseStorage) -> None:
    """Let study `name`, there or not, be of this content; `repair` completes it after a crash."""
    copy = write_content(content, name + COPY, storage)
    storage.set_study_user_attr(copy._study_id, READY, True)
    _finish(name, storage)


def repair(name: str, storage: BaseStorage) -> str | None:
    """Complete a replacement that a crash interrupted, or undo one that was not ready; says which, None if neither."""
    copy = _by_name(storage.get_all_studies()).get(name + COPY)
    if copy is None:
        return None
    if READY not in copy.user_attrs:
        storage.delete_study(copy._study_id)
        return "undone: it had only begun"
    _finish(name, storage)
    return "completed"


def replaced_names(studies: Iterable[FrozenStudy]) -> list[str]:
    """Names of the studies that are being replaced, or were when a process died."""
    return [one.study_name.removesuffix(COPY) for one in studies if one.study_name.endswith(COPY)]


def whole_studies(studies: Iterable[FrozenStudy]) -> dict[str, FrozenStudy]:
    """Of all that a storage has, the studies by their names; one that is being replaced is read where it is whole."""
    found = _by_name(studies)
    whole = {name: one for name, one in found.items() if not name.endswith(COPY)}
    ready = {name: one for name, one in found.items() if name.endswith(COPY) and READY in one.user_attrs}
    return whole | {name.removesuffix(COPY): one for name, one in ready.items()}


def load_whole(name: str, storage: BaseStorage) -> optuna.Study:
    """Study `name` for reading; raises KeyError where there is none, or it is replaced at this moment."""
    found = whole_studies(storage.get_all_studies())[name]
    study = optuna.load_study(study_name=found.study_name, storage=storage)
    study.study_name = name
    return study


def _finish(name: str, storage: BaseStorage) -> None:
    """Write the study from its copy, which is ready, unless that is done; then delete the copy."""
    found = _by_name(storage.get_all_studies())
    content = read_content(optuna.load_study(study_name=name + COPY, storage=storage))
    there = found.get(name)
    if there is not None:
        study = optuna.load_study(study_name=name, storage=storage)
        if find_difference(content, read_content(study)) is not None:
            storage.delete_study(there._study_id)
            there = None
    if there is None:
        write_content(content, name, storage)
    storage.delete_study(found[name + COPY]._study_id)


def _by_name(studies: Iterable[FrozenStudy]) -> dict[str, FrozenStudy]:
    return {one.study_name: one for one in studies}
