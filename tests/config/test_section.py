from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from pydantic import ValidationError

from enforcer.config.model import Config
from enforcer.config.section import Section
from enforcer.policy.rules import Answer

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def sections(annotation: object = Config) -> Iterator[type[Section]]:
    """Every section that a type is or holds."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, Section):
            yield inner
            for field in inner.model_fields.values():
                yield from sections(field.annotation)


def test_a_key_without_a_value_has_its_default(configured: Configured) -> None:
    config = configured({"resolver.chaos": "", "resolver.cache": "", "policy.notice.contact": "null"})
    assert config == configured({})


def test_null_is_an_answer(configured: Configured) -> None:
    assert configured({"resolver.answer": "null"}).resolver.answer is Answer.NULL


def test_a_configuration_does_not_change(configured: Configured) -> None:
    config = configured({})
    with pytest.raises(ValidationError):
        config.resolver.block_ttl = 5  # type: ignore[misc]


def test_every_key_says_what_it_means() -> None:
    unsaid = [
        f"{s.__name__}.{key}" for s in sections() for key, field in s.model_fields.items() if not field.description
    ]
    assert unsaid == []


def test_every_key_that_must_be_written_has_an_example() -> None:
    needed = [(s.__name__, key, f) for s in sections() for key, f in s.model_fields.items() if f.is_required()]
    assert [f"{section}.{key}" for section, key, field in needed if not field.examples] == []
