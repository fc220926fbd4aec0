from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from enforcer.config.model import Config
from enforcer.policy.rules import Evidence, Mode
from enforcer.policy.thirdparty import Format

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured, tmp_path: Path) -> None:
    assert configured({}).policy.model_dump() == {
        "lists": (str(tmp_path / "shipped" / "wechat.yaml"),),
        "require_signature": (),
        "third_party": (),
        "mode": Mode.ENFORCE,
        "ban": "tbs-2023-10-30",
        "notice": {
            "en": "Blocked by organization policy",
            "fr": "Bloqué par la politique de l’organisation",
            "contact": None,
            "monitoring_notice_acknowledged": False,
        },
        "max_shrink": 0.5,
        "exemptions": (),
        "monitored": (),
    }


def test_what_need_not_be_written_of_a_realm_has_these_defaults(configured: Configured) -> None:
    assert tuple(realm.model_dump() for realm in configured({}).realms) == (
        {
            "name": "home",
            "networks": ("127.0.0.0/8",),
            "listeners": ("dns",),
            "proxy_modes": (),
            "interfaces": (),
            "mode": Mode.ENFORCE,
            "ech": None,
        },
    )


def test_an_exemption_has_a_holder_services_an_end_a_reason_and_an_owner(configured: Configured) -> None:
    exemption = {
        "device": "dev-1",
        "services": ["kaspersky"],
        "until": "2027-03-31",
        "reason": "lab",
        "approved_by": "CISO",
    }
    (found,) = configured({"policy.exemptions": [exemption]}).policy.exemptions
    assert (found.device, found.group, found.services) == ("dev-1", None, ("kaspersky",))
    assert found.until == datetime(2027, 3, 31, tzinfo=UTC)
    assert (found.reason, found.approved_by) == ("lab", "CISO")


def test_a_third_party_list_is_named_after_its_file_unless_it_has_a_name(
    configured: Configured, tmp_path: Path
) -> None:
    lists = [{"file": "lists/names.txt", "service": "wechat"}, {"file": "/x.txt", "service": "wechat", "name": "other"}]
    first, second = configured({"policy.third_party": lists}).policy.third_party
    assert (first.file, first.list_name) == (tmp_path / "lists/names.txt", "names")
    assert (second.file, second.list_name) == (Path("/x.txt"), "other")
    assert (first.format, first.part, first.evidence, first.max_bad_lines) == (
        Format.AUTO,
        "listed",
        Evidence.SHARED,
        100,
    )
