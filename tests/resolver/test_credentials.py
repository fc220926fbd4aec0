import ssl
from pathlib import Path

import pytest

from enforcer.counters import Transport
from enforcer.devices.tokens import token_hash
from enforcer.errors import Unavailable
from enforcer.resolver.admission import Admission
from enforcer.resolver.credentials import Credentials, TlsFiles
from tests.certificates import Authority

TOKEN = "abcdefghijklmnop"


def line(token: str) -> str:
    return f"dev-1 {(token_hash(token) or b'').hex()}\n"


def test_a_listener_whose_files_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    first, other = Authority(tmp_path).pair("one"), Authority(tmp_path).pair("two")
    with pytest.raises(Unavailable, match=r"listener roam: its certificate cannot be used .*KEY_VALUES_MISMATCH"):
        Credentials("roam", TlsFiles(first.certificate, other.key), Admission())
    with pytest.raises(Unavailable, match="its certificate cannot be used"):
        Credentials("roam", TlsFiles(tmp_path / "none.pem", other.key), Admission())
    (tmp_path / "tokens.txt").write_text(TOKEN)
    with pytest.raises(Unavailable, match="its tokens cannot be used") as caught:
        Credentials("roam", TlsFiles(first.certificate, first.key, tokens=tmp_path / "tokens.txt"), Admission())
    assert TOKEN not in str(caught.value)


def test_tls_begins_at_1_2_and_the_clients_certificate_is_asked_for_as_set(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("dns")
    for files, mode in (
        (TlsFiles(pair.certificate, pair.key), ssl.CERT_NONE),
        (TlsFiles(pair.certificate, pair.key, authority.pem), ssl.CERT_REQUIRED),
        (TlsFiles(pair.certificate, pair.key, authority.pem, client_required=False), ssl.CERT_OPTIONAL),
    ):
        context = Credentials("roam", files, Admission()).context(Transport.DOT)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is mode
        assert not context.options & ssl.OP_NO_TICKET


def test_tokens_are_followed_and_a_bad_file_keeps_those_that_were_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pair, tokens, admission = Authority(tmp_path).pair("dns"), tmp_path / "tokens.txt", Admission(tokens=True)
    tokens.write_text("")
    credentials = Credentials("roam", TlsFiles(pair.certificate, pair.key, tokens=tokens), admission)
    assert admission.hashes == frozenset()
    tokens.write_text(line(TOKEN))
    credentials.follow()
    assert admission.hashes == {token_hash(TOKEN)}
    tokens.write_text("nothing of that kind")
    credentials.follow()
    tokens.unlink()
    credentials.follow()
    credentials.follow()
    assert admission.hashes == {token_hash(TOKEN)}
    said = [record.getMessage().partition(" listener")[0] for record in caplog.records]
    assert said == ["tokens event=reloaded", *["tokens event=unusable"] * 2]
