"""The published JSON Schema of a study file."""

from typing import Any

from studies.files.row_checks import settable
from studies.files.setting_paths import searchable_kinds
from studies.files.study_settings import StudySettings


def study_schema() -> dict[str, Any]:
    """The JSON Schema of a study file; editors check and complete with it, the paths of a space included."""
    schema = StudySettings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "contourney study file"
    schema["properties"]["space"]["propertyNames"] = {"enum": sorted(searchable_kinds())}
    values = schema["$defs"]["RowSettings"]["properties"]["set"]
    values["propertyNames"] = {"enum": sorted(settable())}
    return schema
