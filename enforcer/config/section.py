"""What every section of enforcer.yaml is."""

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A mapping of enforcer.yaml. A key without a value (`cache:`) counts as not written; so does null as a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        written = dict(values)
        for key, field in cls.model_fields.items():
            if written.get(key) == "" or (field.default is None and written.get(key) in ("~", "null")):
                del written[key]
        return written
