"""The IP packet in a frame: Ethernet with VLAN tags, PPPoE and MPLS, Linux cooked captures, PPP, raw IP."""

_IPV4, _IPV6, _PPPOE = 0x0800, 0x86DD, 0x8864
_VLANS = (0x8100, 0x88A8, 0x9100)
_MPLS = (0x8847, 0x8848)
_TAGS_MAX = 8


def ip_in(link: int, frame: bytes) -> bytes | None:
    """The octets from the IP header on, with whatever pads the frame; None for a frame that carries no IP."""
    match link:  # the LINKTYPE values of tcpdump.org
        case 1:
            return _after_type(frame, 12, 14)
        case 113:  # LINUX_SLL
            return _after_type(frame, 14, 16)
        case 276:  # LINUX_SLL2
            return _after_type(frame, 0, 20)
        case 0 | 108:  # NULL, LOOP
            return _checked(frame[4:])
        case 9:
            return _ppp(frame[2:] if frame[:2] == b"\xff\x03" else frame)
        case 12 | 14 | 101 | 228 | 229:  # raw IP
            return _checked(frame)
    return None


def _after_type(frame: bytes, at: int, start: int) -> bytes | None:
    """What the EtherType at octet `at` says is at `start`, behind VLAN tags, PPPoE or MPLS labels."""
    for _ in range(_TAGS_MAX):
        kind = int.from_bytes(frame[at : at + 2])
        if kind in (_IPV4, _IPV6):
            return _checked(frame[start:])
        if kind in _VLANS:
            at, start = start + 2, start + 4
        elif kind == _PPPOE:
            return _ppp(frame[start + 6 :])
        elif kind in _MPLS:
            return _mpls(frame, start)
        else:
            return None
    return None


def _ppp(frame: bytes) -> bytes | None:
    """Behind the protocol number of PPP, which may be of one octet (RFC 1661 §6.5)."""
    if frame[:1] in (b"\x21", b"\x57"):
        return _checked(frame[1:])
    return _checked(frame[2:]) if frame[:2] in (b"\x00\x21", b"\x00\x57") else None


def _mpls(frame: bytes, at: int) -> bytes | None:
    """Behind the label that says it is the last (RFC 3032 §2.1)."""
    for _ in range(_TAGS_MAX):
        if at + 4 > len(frame):
            return None
        at += 4
        if frame[at - 2] & 1:
            return _checked(frame[at:])
    return None


def _checked(data: bytes) -> bytes | None:
    return data if data and data[0] >> 4 in (4, 6) else None
