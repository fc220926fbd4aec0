"""Incidents: attempts folded by who and what, reviewers' marks, and a subject's attempts in their order."""

from collections.abc import Collection, Mapping, Sequence

from enforcer.attempts.index import Filter, Fold, Mark, Review, Seen, Subject
from enforcer.attempts.index.batch import Row
from enforcer.attempts.index.database import FOREVER_MS, Database, equal, marks
from enforcer.attempts.index.schema import FOLDED, SUBJECT


class Folds(Database):
    """What is asked about incidents."""

    def folds(self, which: Filter, states: Collection[Review] = (), limit: int = 50, skip: int = 0) -> Sequence[Fold]:
        """See Index."""
        own = {column: getattr(which, column) for column in ("service", "device", "group")}
        where, values = equal({column: value for column, value in own.items() if value is not None}, "p.")
        if which.device is None and which.client_ip is not None:
            where += " AND p.realm = ? AND p.client_ip = ?"
            values += (which.realm or "", which.client_ip)
        inner = {column: getattr(which, column) for column in FOLDED[len(SUBJECT) :]}
        inner = {column: value for column, value in inner.items() if value is not None}
        if inner:
            within, of_fold = equal(inner, "f.")
            where += f" AND EXISTS (SELECT 1 FROM folds f WHERE {_same('f', 'p')} AND {within})"  # noqa: S608
            values += of_fold
        if states:
            where += f" AND coalesce(m.state, 'open') IN ({marks(states)})"
            values += tuple(states)
        subject = ", ".join(f"p.{column}" for column in SUBJECT)
        sql = f"""WITH p AS (
            SELECT {subject}, p."group", p.last FROM pairs p LEFT JOIN marks m ON {_same("m", "p")}
            WHERE {where} AND p.last >= ? AND p.first < ? ORDER BY p.last DESC, {subject} LIMIT ? OFFSET ?)
            SELECT {subject}, p."group", f.part, f.layer, f.action, f.evidence, f.attempts, f.lines, f.first, f.last
            FROM p JOIN folds f ON {_same("f", "p")}
            ORDER BY p.last DESC, {subject}, f.part, f.layer, f.action, f.evidence"""  # noqa: S608
        until_ms = FOREVER_MS if which.until_ms is None else which.until_ms
        rows = self._ask(sql, (*values, which.since_ms or 0, until_ms, limit, skip))
        return [_fold(row) for row in rows]

    def marks(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Mark]:
        """See Index."""
        sql = "SELECT service, state, note, who, time, seq FROM marks WHERE device = ? AND realm = ? AND client_ip = ?"
        return {
            (subject, service): Mark(Review(state), note, who, time_ms, seq)
            for subject in subjects
            for service, state, note, who, time_ms, seq in self._ask(
                sql, (subject.device or "", subject.realm or "", subject.client_ip or "")
            )
        }

    def timeline(self, subject: Subject, service: str, limit: int) -> Sequence[Seen]:
        """See Index."""
        whose, values = "device = ?", [subject.device]
        if subject.device is None:
            whose, values = "client_ip = ? AND realm = ? AND device IS NULL", [subject.client_ip, subject.realm]
        sql = f"""SELECT layer, time, last, count FROM attempts JOIN kinds USING (kind)
            WHERE {whose} AND service = ? AND time >= ? ORDER BY time DESC, seq DESC LIMIT ?"""  # noqa: S608
        floor_ms = self._floor()
        rows: list[Row] = []
        for part in self._parts(floor_ms, FOREVER_MS):
            if len(rows) < limit:
                rows += part(sql, (*values, service, floor_ms, limit - len(rows)))
        return [Seen(*row) for row in reversed(rows)]  # type: ignore[arg-type]


def _same(one: str, other: str) -> str:
    """The condition that two tables speak of one incident."""
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in SUBJECT)


def _fold(row: Sequence) -> Fold:  # type: ignore[type-arg]
    device, realm, client_ip, service, group, *rest = row
    return Fold(Subject(device or None, realm or None, client_ip or None), service, group or None, *rest)
