"""The numbers of DNS and their names (IANA registry "Domain Name System (DNS) Parameters").

Messages carry plain integers: a number that has no member here is as valid as any other (RFC 3597 §2).
"""

from enum import IntEnum


class RRType(IntEnum):
    """Types of records and questions in use; the rest are written `TYPE65400` (RFC 3597 §5)."""

    A = 1
    NS = 2
    MD = 3
    MF = 4
    CNAME = 5
    SOA = 6
    MB = 7
    MG = 8
    MR = 9
    NULL = 10
    WKS = 11
    PTR = 12
    HINFO = 13
    MINFO = 14
    MX = 15
    TXT = 16
    RP = 17
    AFSDB = 18
    X25 = 19
    ISDN = 20
    RT = 21
    NSAP = 22
    SIG = 24
    KEY = 25
    PX = 26
    GPOS = 27
    AAAA = 28
    LOC = 29
    NXT = 30
    SRV = 33
    NAPTR = 35
    KX = 36
    CERT = 37
    A6 = 38
    DNAME = 39
    OPT = 41
    APL = 42
    DS = 43
    SSHFP = 44
    IPSECKEY = 45
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    DHCID = 49
    NSEC3 = 50
    NSEC3PARAM = 51
    TLSA = 52
    SMIMEA = 53
    HIP = 55
    CDS = 59
    CDNSKEY = 60
    OPENPGPKEY = 61
    CSYNC = 62
    ZONEMD = 63
    SVCB = 64
    HTTPS = 65
    DSYNC = 66
    SPF = 99
    NID = 104
    L32 = 105
    L64 = 106
    LP = 107
    EUI48 = 108
    EUI64 = 109
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    URI = 256
    CAA = 257
    AVC = 258
    DOA = 259
    AMTRELAY = 260
    RESINFO = 261
    WALLET = 262


class RRClass(IntEnum):
    """Classes that are told apart."""

    IN = 1
    CH = 3


class Rcode(IntEnum):
    """Response codes; from 16 on they need an OPT record to be said (RFC 6891 §6.1.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    YXRRSET = 7
    NXRRSET = 8
    NOTAUTH = 9
    NOTZONE = 10
    DSOTYPENI = 11
    BADVERS = 16
    BADKEY = 17
    BADTIME = 18
    BADMODE = 19
    BADNAME = 20
    BADALG = 21
    BADTRUNC = 22
    BADCOOKIE = 23


_TYPE_NAMES: dict[int, str] = {member.value: member.name for member in RRType}
_RCODE_NAMES: dict[int, str] = {member.value: member.name for member in Rcode}


def type_name(number: int) -> str:
    """`HTTPS` for 65, `TYPE65400` for a number without a name (RFC 3597 §5)."""
    return _TYPE_NAMES.get(number) or f"TYPE{number}"


def rcode_name(number: int) -> str:
    """`NXDOMAIN` for 3, `RCODE24` for a number without a name."""
    return _RCODE_NAMES.get(number) or f"RCODE{number}"
