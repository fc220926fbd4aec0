import csv

import pytest

from enforcer.attempts.formats.record import Logged
from enforcer.attempts.formats.table import COLUMNS, header, row
from tests.attempts.formats.samples import SAMPLES, harmless, logged, record

ATTEMPTS = [name for name in SAMPLES if isinstance(record(name), Logged)]


def cells(name: str) -> dict[str, str]:
    (values,) = csv.reader([row(logged(name))], strict=True)
    return dict(zip(COLUMNS, values, strict=True))


def test_the_columns_never_change_their_place() -> None:
    assert header() == (
        "id,seq,time,last,logged,count,node,layer,action,response,service,part,evidence,ban,ruleset,rule,rule_kind,"
        "name,via,qtype,rcode,ede,alpn,ech,transport,realm,client_ip,client_port,dest_ip,dest_port,device,group,"
        "identity_source,identity_confidence,identity_state,identity_age_s,identity_granularity"
    )


def test_a_row_has_the_values_of_the_record() -> None:
    told = cells("tls")
    assert (told["layer"], told["response"], told["name"], told["alpn"]) == (
        "tls",
        "alert",
        "ds.chat.test",
        "h2 http/1.1",
    )
    assert (told["time"], told["count"], told["ech"], told["qtype"]) == ("2026-11-23T12:00:00.000Z", "3", "false", "")
    assert (told["dest_port"], told["identity_source"], told["identity_age_s"]) == ("443", "radius", "412")


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_row_is_one_line_that_no_spreadsheet_calculates(name: str) -> None:
    assert harmless(row(logged(name)))
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells(name).values())
