"""The first record of MMTLS, the transport that WeChat made for itself.

Nobody has published a specification. The form here was observed: it holds for all 27 MMTLS connections of a capture of
WeChat for Android (December 2023, citizenlab/wechat-security-report), of which 23 begin with early data (0x19), and is
what two independent clients send (ljc545w/mmtls, anonymous5l/mmtls). It is TLS 1.3 in outline: a record has a type, a
version and a length.

octet 0     0x15 alert, 0x16 handshake, 0x17 data, 0x19 handshake with early data
octets 1-2  0xf103 or 0xf104, the version
octets 3-4  length of what follows
            of a handshake, a ClientHello follows:
octets 5-8  its length: that of the record less these four
octet 9     0x01
octets 10-  0x03f1 or 0x04f1, the version; the number of cipher suites; the suites
"""

_ALERT, _HANDSHAKE, _DATA, _EARLY = 0x15, 0x16, 0x17, 0x19
_VERSIONS = (0x03, 0x04)
_RECORD_MAX = 0x4000 + 0x800


def is_mmtls(data: bytes | bytearray) -> bool | None:
    """Whether a connection that begins with these octets is MMTLS; None: more octets would tell.

    A handshake has to agree in both lengths, so that other protocols are hit once in 2^60 connections of random
    octets, and alerts and data, which only follow a handshake that we did not see, once in 2^20.
    """
    kind = data[0] if data else _HANDSHAKE
    if kind not in (_ALERT, _HANDSHAKE, _DATA, _EARLY):
        return False
    if data[1:2] not in (b"", b"\xf1") or (len(data) > 2 and data[2] not in _VERSIONS):
        return False
    if len(data) < 5:
        return None
    size = int.from_bytes(data[3:5])
    if not 0 < size <= _RECORD_MAX:
        return False
    if kind in (_ALERT, _DATA):
        return True
    rest = bytes(data[5:12])
    expected = ((size - 4) & 0xFFFFFFFF).to_bytes(4) + b"\x01"
    if not expected.startswith(rest[:5]) or rest[5:6] not in (b"", b"\x03", b"\x04") or rest[6:7] not in (b"", b"\xf1"):
        return False
    return True if len(rest) == 7 else None
