"""Rules R1 to R15 of who held an address when, and the law that order, repetition and loss change nothing."""

import random
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

import pytest

from enforcer.devices.prefix import Prefix, prefix_of
from enforcer.devices.session import Report, Session, State, Status
from enforcer.devices.sessions import Limits, SessionTable
from enforcer.devices.subject import Subject

T0 = 1_698_710_400_000  # 2023-10-31T00:00:00Z
V4, V6 = "10.20.30.40", "2001:db8:20:30::/64"
PHONE, OTHER = Subject(imsi="001010000000001"), Subject(imsi="001010000000002")
START, INTERIM, STOP = Status.START, Status.INTERIM, Status.STOP
HOUR = 3600
ADDRESSES = ("10.0.0.1", "10.0.0.2")


def report(
    status: Status,
    at: float,
    *,
    id: str = "s1",  # noqa: A002
    holds: tuple[str, ...] = (V4,),
    who: Subject = PHONE,
    **more: object,
) -> Report:
    prefixes = tuple(prefix_of(ip_network(each)) for each in holds)
    ms = T0 + round(at * 1000)
    made = Report("apn", "pgw1", status, ms, id, ms, 0, None, prefixes, who)
    return replace(made, **more)  # type: ignore[arg-type]


def table(*reports: Report, limits: Limits | None = None) -> SessionTable:
    made = SessionTable(limits)
    for each in reports:
        made.apply(each)
    return made


def who(sessions: SessionTable, at: float, address: str = V4, realm: str = "apn") -> str | None:
    found = sessions.holder(realm, ip_address(address), T0 + round(at * 1000))
    return None if found is None else found.subject.imsi and found.session


def restored(before: SessionTable) -> SessionTable:
    """As after a restart."""
    after = SessionTable()
    sessions = list(before.sessions())
    for session in sessions:
        session.confirmed = False
    after.restore(sessions, before.resets())
    return after


def test_a_session_holds_its_address_from_its_start_to_its_stop() -> None:
    sessions = table(report(START, 0), report(STOP, 60))
    assert [who(sessions, at) for at in (-1, 0, 59.9, 60, 61)] == [None, "s1", "s1", None, None]


def test_r1_a_believable_clock_of_the_gateway_counts() -> None:
    late = report(START, 0, arrival_ms=T0 + 200_000, delay_s=0)
    assert who(table(late), 0) == "s1"


def test_r1_a_clock_an_hour_off_does_not() -> None:
    for off in (-HOUR, HOUR):
        sessions = table(report(START, 0, stamp_ms=T0 + off * 1000))
        assert [who(sessions, at) for at in (-1, 0)] == [None, "s1"]
        assert sessions.counts["skewed"] == 1
        assert sessions.skew_ms["apn", "pgw1"] == off * 1000


def test_r1_a_delayed_report_is_of_the_time_that_it_tells() -> None:
    sessions = table(
        report(START, 0, arrival_ms=T0 + 7200_000, delay_s=7200), report(START, 50, id="s2", stamp_ms=None, delay_s=20)
    )
    assert [who(sessions, at) for at in (0, 29, 30)] == ["s1", "s1", "s2"]


def test_r1_nothing_happens_after_it_was_told() -> None:
    assert who(table(report(START, 0, stamp_ms=T0 + 60_000)), 1) == "s1"


def test_r2_an_interim_tells_when_the_session_began() -> None:
    sessions = table(report(INTERIM, 600, lasted_s=500))
    assert [who(sessions, at) for at in (99, 100, 600)] == [None, "s1", "s1"]


def test_r3_a_stop_alone_tells_the_whole_session() -> None:
    sessions = table(report(STOP, 600, lasted_s=500))
    assert [who(sessions, at) for at in (99, 100, 599, 600)] == [None, "s1", "s1", None]


def test_r3_an_id_used_again_is_another_session() -> None:
    sessions = table(report(START, 0), report(STOP, 100), report(START, 1000, who=OTHER, holds=("10.20.30.41",)))
    assert who(sessions, 50) == "s1"
    assert [who(sessions, at) for at in (150, 1001)] == [None, None]
    assert who(sessions, 1001, "10.20.30.41") == "s1"
    assert len(sessions) == 2


def test_r3_an_id_used_again_is_another_session_in_any_order() -> None:
    reports = [
        report(START, 0),
        report(STOP, 100, lasted_s=100),
        report(START, 1000, who=OTHER),
        report(STOP, 1100, who=OTHER, lasted_s=100),
    ]
    for seed in range(24):
        random.Random(seed).shuffle(reports)
        sessions = table(*reports)
        assert [who(sessions, at) for at in (50, 150, 1050, 1150)] == ["s1", None, "s1", None]


def test_r4_the_newer_session_has_the_address_for_ever() -> None:
    sessions = table(report(START, 0), report(START, 50, id="s2", who=OTHER), report(STOP, 60, id="s2", who=OTHER))
    assert [who(sessions, at) for at in (49, 50, 60, 70)] == ["s1", "s2", None, None]


@pytest.mark.parametrize(("status", "at_start"), [(Status.ON, "s1"), (Status.OFF, None)])
def test_r5_a_gateway_that_begins_anew_has_no_session_from_before(status: Status, at_start: str | None) -> None:
    reset = replace(report(status, 30), session="")
    sessions = table(report(START, 0), report(START, 30, id="s2", holds=("10.0.0.2",)), reset)
    assert [who(sessions, at) for at in (29, 30, 31)] == ["s1", None, None]
    assert who(sessions, 30, "10.0.0.2") is (at_start and "s2")


def test_r5_every_reset_counts_not_the_last_alone() -> None:
    resets = [replace(report(Status.ON, at), session="") for at in (100, 500)]
    sessions = table(*resets, report(START, 0))
    assert [who(sessions, at) for at in (99, 100, 600)] == ["s1", None, None]


def test_r5_one_gateway_ends_its_own_sessions() -> None:
    sessions = table(report(START, 0), replace(report(Status.ON, 10), session="", gateway="pgw2"))
    assert who(sessions, 20) == "s1"


def test_r6_a_late_stop_ends_its_own_session_alone() -> None:
    sessions = table(report(START, 0), report(START, 50, id="s2", who=OTHER), report(STOP, 40))
    assert [who(sessions, at) for at in (39, 45, 60)] == ["s1", None, "s2"]


def test_r6_a_stop_that_comes_first_waits_for_its_start() -> None:
    sessions = table(report(STOP, 60), report(START, 0))
    assert [who(sessions, at) for at in (30, 60)] == ["s1", None]


def test_r7_without_interims_a_session_expires_after_a_day() -> None:
    sessions = table(report(START, 0))
    assert [who(sessions, at * HOUR) for at in (23.9, 24)] == ["s1", None]


def test_r7_with_interims_it_is_stale_first() -> None:
    sessions = table(report(START, 0), *(report(INTERIM, 900 * i) for i in range(1, 9)))

    def stale(after_s: float) -> bool | None:
        found = sessions.holder("apn", ip_address(V4), T0 + round((7200 + after_s) * 1000))
        return None if found is None else found.stale

    assert [stale(at) for at in (0, 2699, 2700, 2700 + 12 * HOUR - 1, 2700 + 12 * HOUR)] == [
        False,
        False,
        True,
        True,
        None,
    ]


def test_r8_an_address_is_held_while_any_bearer_is() -> None:
    sessions = table(
        report(START, 0, bearer="5"), report(START, 10, id="s2", bearer="6"), report(STOP, 20, id="s2", bearer="6")
    )
    assert [who(sessions, at) for at in (15, 25)] == ["s2", "s1"]


def test_r8_the_stop_indicator_ends_all_bearers() -> None:
    sessions = table(
        report(START, 0, bearer="5"),
        report(START, 10, id="s2", bearer="6"),
        report(STOP, 20, bearer="5", ends_all=True),
    )
    assert [who(sessions, at) for at in (15, 20, 25)] == ["s2", None, None]


def test_r8_bearers_of_another_device_share_nothing() -> None:
    sessions = table(
        report(START, 0, bearer="5"),
        report(START, 10, id="s2", bearer="6", who=OTHER),
        report(STOP, 20, id="s2", bearer="6", who=OTHER),
    )
    assert who(sessions, 25) is None


def test_r9_an_address_may_come_later() -> None:
    sessions = table(report(START, 0, holds=(V6,)), report(INTERIM, 20, holds=(V6, V4)))
    assert [who(sessions, at) for at in (10, 20)] == [None, "s1"]
    assert who(sessions, 10, "2001:db8:20:30::1") == "s1"


def test_r9_another_ipv4_address_ends_the_first() -> None:
    reports = [report(START, 0), report(INTERIM, 20, holds=("10.0.0.2",)), report(INTERIM, 30), report(INTERIM, 40)]
    for seed in range(24):
        random.Random(seed).shuffle(reports)
        sessions = table(*reports)
        assert [who(sessions, at) for at in (19, 20, 29, 30, 40)] in (
            ["s1", None, None, "s1", "s1"],
            ["s1", None, None, None, "s1"],  # what was joined before the change came keeps its ends alone
        )
        assert [who(sessions, at, "10.0.0.2") for at in (19, 20, 40)] == [None, "s1", None]


def test_r10_the_longest_prefix_counts() -> None:
    sessions = table(report(START, 0, holds=("2001:db8:20::/48",)), report(START, 0, id="s2", holds=(V6,), who=OTHER))
    assert who(sessions, 1, "2001:db8:20:30::9") == "s2"
    assert who(sessions, 1, "2001:db8:20:31::9") == "s1"


@pytest.mark.parametrize("wide", ["10.0.0.0/8", "10.20.30.40/31", "2001:db8::/32", "2001:db8::/47"])
def test_r10_nobody_owns_a_network_by_mistake(wide: str) -> None:
    sessions = table(report(START, 0, holds=(wide,)))
    assert sessions.counts["refused"] == 1
    assert who(sessions, 1, str(ip_network(wide)[1])) is None


def test_r13_after_a_restart_sessions_are_stale_until_confirmed() -> None:
    before = table(
        report(START, 0, holds=(V4, V6)),
        replace(report(Status.ON, -5), session=""),
        report(START, 0, id="s2", holds=("10.0.0.2",)),
    )
    after = restored(before)
    found = after.holder("apn", ip_address(V4), T0 + 1000)
    assert found is not None
    assert found.stale
    after.apply(report(INTERIM, 10))
    found = after.holder("apn", ip_address(V4), T0 + 11_000)
    assert found is not None
    assert not found.stale
    assert len(after) == 2


def test_r15_the_oldest_closed_session_makes_room() -> None:
    sessions = table(limits=Limits(sessions=3))
    for i in range(3):
        sessions.apply(report(START, i, id=f"s{i}", holds=(f"10.0.0.{i}",)))
    sessions.apply(report(STOP, 5, id="s1", holds=("10.0.0.1",)))
    sessions.apply(report(START, 6, id="s9", holds=("10.0.0.9",)))
    assert [who(sessions, 7, f"10.0.0.{i}") for i in (0, 1, 2, 9)] == ["s0", None, "s2", "s9"]
    assert (len(sessions), sessions.counts["evicted"]) == (3, 1)


def test_r15_the_history_of_an_address_is_bounded() -> None:
    sessions = table(*(report(START, i, id=f"s{i}") for i in range(100)))
    assert who(sessions, 99) == "s99"
    assert sessions.counts["evicted"] == 68


def test_drill_everybody_attaches_again_after_the_gateway_began_anew() -> None:
    phones = 20_000
    addresses = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(phones)]
    sessions = SessionTable()
    for i in range(phones):
        prefix = Prefix(4, 32, (10 << 24) + i)
        before = replace(report(START, -600, id=f"old{i}", holds=()), prefixes=(prefix,))
        sessions.apply(before)
    sessions.apply(replace(report(Status.ON, 0), session=""))
    for i in range(phones):
        prefix = Prefix(4, 32, (10 << 24) + (i + 1) % phones)  # each at another address than before
        sessions.apply(replace(report(START, 1 + i / phones * 59, id=f"new{i}", holds=()), prefixes=(prefix,)))
    for i in range(0, phones, 997):
        assert who(sessions, -1, addresses[i]) == f"old{i}"
        assert who(sessions, 0.5, addresses[i]) is None
        assert who(sessions, 61, addresses[i]) == f"new{(i - 1) % phones}"


def test_two_realms_with_one_address_have_two_owners() -> None:
    sessions = table(report(START, 0), report(START, 0, id="s2", realm="other"))
    assert (who(sessions, 1), who(sessions, 1, realm="other"), who(sessions, 1, realm="third")) == ("s1", "s2", None)


def test_what_another_gateway_knows_is_added_to_what_is_known_here() -> None:
    def kept(*reports: Report) -> Session:
        (session,) = table(*reports).sessions()
        return session

    here = table(report(START, 0, holds=(V6,)))
    assert not here.adopt(kept(report(START, 0, holds=(V6,))))
    assert here.adopt(kept(report(INTERIM, 60, lasted_s=60, holds=(V4,))))
    assert who(here, 60) == "s1"
    assert here.adopt(kept(report(STOP, 90, lasted_s=90)))
    assert [who(here, at) for at in (89, 90)] == ["s1", None]
    assert here.adopt(kept(report(START, 5000, who=OTHER)))  # the same id, used again
    assert [who(here, at) for at in (89, 90, 5001)] == ["s1", None, "s1"]
    assert not here.adopt(kept(report(START, 0, holds=(V6,), who=OTHER)))


def test_the_history_is_forgotten_in_time() -> None:
    sessions = table(report(START, 0), report(STOP, 10), report(START, 20, id="s2"))
    day_ms = T0 + 24 * 3_600_000
    sessions.sweep(day_ms, 10)  # which begins the first round
    assert len(sessions) == 2
    kept, last = sessions.sweep(day_ms + 11_000, 10)
    assert last
    assert [(each.id, state) for each, state in kept] == [("s2", State.OPEN)]
    assert (len(sessions), who(sessions, 5), who(sessions, 21)) == (1, None, "s2")


def test_a_round_of_sweeping_looks_at_every_session_once() -> None:
    sessions = table(*(report(START, i, id=f"s{i}", holds=(f"10.0.0.{i}",)) for i in range(10)))
    sessions.apply(report(STOP, 20, id="s3", holds=("10.0.0.3",)))
    sessions.sweep(T0, 1)
    rounds = [sessions.sweep(T0 + 60_000, 4) for _ in range(3)]
    assert [last for _, last in rounds] == [False, False, True]
    seen = {each.id: state for kept, _ in rounds for each, state in kept}
    assert len(seen) == 10
    assert seen["s3"] is State.CLOSED


def test_what_may_have_changed_hands_is_told_once() -> None:
    sessions = table(report(START, 0))
    place = ("apn", prefix_of(ip_network(V4)))
    assert sessions.take_changes() == ({place}, False)
    sessions.apply(report(INTERIM, 60, lasted_s=60))
    assert sessions.take_changes() == (set(), False)
    sessions.apply(report(STOP, 90))
    assert sessions.take_changes() == ({place}, False)
    sessions.apply(replace(report(Status.ON, 100), session=""))
    assert sessions.take_changes() == (set(), True)


def test_a_prefix_in_a_realm_with_longer_ones_may_not_be_one_devices_alone() -> None:
    sessions = table(report(START, 0, holds=(V6,)))
    prefix = prefix_of(ip_network(V6))
    assert not sessions.narrower("apn", prefix)
    sessions.apply(report(START, 0, id="s2", holds=("2001:db8:20:30::9/128",)))
    assert sessions.narrower("apn", prefix)
    assert not sessions.narrower("other", prefix)


# The law: what is known does not depend on the order, the repetition or the loss of reports.


@dataclass
class History:
    """What truly happened on a few addresses of one gateway, and what was told of it."""

    seed: int
    truth: list[tuple[str, str, int, int]] = field(default_factory=list)  # address, session, from, until
    reports: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.resets = sorted(chance.sample(range(100, 1700), chance.randint(0, 2)))
        number = 0
        for address in ADDRESSES:
            at = chance.randint(0, 100)
            while at < 1700:
                number += 1
                end = at + chance.randint(5, 900)
                self._session(chance, f"s{number}", address, at, end)
                at = end + chance.randint(1, 60)
        for at in self.resets:
            self.reports.append(replace(report(Status.ON, at), session=""))
        self.reports += [each for each in self.reports if chance.random() < 0.3]
        chance.shuffle(self.reports)

    def _session(self, chance: random.Random, id: str, address: str, start: int, end: int) -> None:  # noqa: A002
        session = (id, address, start)
        reset = next((at for at in self.resets if at > start), None)
        cut = reset is not None and reset <= end
        told = [self._told(chance, INTERIM, at, session) for at in range(start + 50, end, 100)]
        if cut and reset is not None:
            end = reset
            told = [each for each in told if each.arrival_ms < T0 + reset * 1000 + each.delay_s * 1000]
        else:
            told.append(self._told(chance, STOP, end, session))
        if not told or chance.random() > 0.3:
            told.append(self._told(chance, START, start, session))
        self.reports += told
        self.truth.append((address, id, start, end))

    def _told(self, chance: random.Random, status: Status, at: int, session: tuple[str, str, int]) -> Report:
        id_, address, start = session
        delay = chance.choice((0, 0, 1, 40, 900))
        arrival_ms = T0 + (at + delay) * 1000
        lasted = None if status is START else at - start
        who = Subject(imsi=f"00101{id_[1:]:0>10}")
        return report(
            status, at, id=id_, holds=(address,), who=who, arrival_ms=arrival_ms, delay_s=delay, lasted_s=lasted
        )

    def owner(self, address: str, at: float) -> str | None:
        return next((name for where, name, start, end in self.truth if where == address and start <= at < end), None)


def test_law_order_repetition_and_lost_starts_change_nothing() -> None:
    looked_up = 0
    for seed in range(2000):
        history = History(seed)
        sessions = table(*history.reports)
        chance = random.Random(-seed)
        for address in ADDRESSES:
            for at in (chance.uniform(0, 2000) for _ in range(20)):
                assert who(sessions, at, address) == history.owner(address, at), (seed, address, at)
                looked_up += 1
    assert looked_up == 80_000


def test_law_a_restart_in_the_middle_changes_no_owner() -> None:
    for seed in range(200):
        history = History(seed)
        half = len(history.reports) // 2
        before = table(*history.reports[:half])
        after = restored(before)
        for each in history.reports[half:]:
            after.apply(each)
        for address, id_, start, end in history.truth:
            assert who(after, (start + end) / 2, address) == id_
