"""What the dashboards show: a panel is one line of meaning, in which unit, by which queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NODE = 'instance=~"$instance"'
SERVICE = 'service=~"$service"'
BOTH = f"{NODE}, {SERVICE}"
RATE = "$__rate_interval"
GREEN, ORANGE, RED = "green", "orange", "red"


@dataclass(frozen=True)
class Panel:
    """One panel. queries: by the legend of what they give. words: what values mean, beside any colour.

    steps: from which value on which colour. stacked: one upon the other. named: the legend instead of the value.
    """

    title: str
    text: str
    unit: str
    queries: Mapping[str, str]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    words: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),)
    stacked: bool = False
    named: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Panels under the titles of their rows."""

    name: str
    title: str
    text: str
    rows: Mapping[str, Sequence[Panel]]


def stat(title: str, text: str, unit: str, queries: Mapping[str, str], **how: object) -> Panel:
    """One number, or a few beside each other."""
    return Panel(title, text, unit, queries, **{"kind": "stat", "width": 6, "height": 4} | how)  # type: ignore[arg-type]


def by(labels: str, metric: str, what: str = NODE) -> str:
    """The rate of a counter, added up by these labels."""
    return f"sum by ({labels}) (rate({metric}{{{what}}}[{RATE}]))"


def quantiles(metric: str, label: str, what: str = NODE) -> dict[str, str]:
    """The median and the 99th percentile of a histogram, by one label or by none."""
    groups, legend = (f"le, {label}", f"{{{{{label}}}}}, ") if label else ("le", "")
    return {
        f"{legend}{word}": f"histogram_quantile({share}, sum by ({groups}) (rate({metric}_bucket{{{what}}}[{RATE}])))"
        for word, share in (("median", 0.5), ("99 %", 0.99))
    }


OVERVIEW = Dashboard(
    "overview",
    "Enforcer: overview",
    "Is the ban in force, who tries to get round it, and how sure are we of who it is?",
    {
        "Is the ban in force?": [
            stat(
                "Banned names are refused",
                "Once a minute each node asks its own resolver for a banned name of each service, over each transport.",
                "none",
                {"{{service}}": f"min by (service) (enforcer_probe_success{{{BOTH}}})"},
                words={"1": "refused", "0": "NOT refused"},
                steps=((None, RED), (1, GREEN)),
                width=8,
            ),
            stat(
                "Policy in force",
                "The short hash of the compiled rules that nodes follow, and their mode. Like nodes show one.",
                "none",
                {"{{ruleset}} {{mode}}": f"max by (ruleset, mode) (enforcer_policy_info{{{NODE}}})"},
                named=True,
                width=8,
            ),
            stat(
                "Realms paused",
                "Realms in which somebody has broken the glass: what is banned is observed there and let through.",
                "none",
                {"paused": f"sum(enforcer_realm_paused{{{NODE}}})"},
                words={"0": "none"},
                steps=((None, GREEN), (1, RED)),
                width=4,
            ),
            stat(
                "Nodes",
                "Nodes that answered Prometheus.",
                "short",
                {"nodes": f"count(enforcer_build_info{{{NODE}}})"},
                width=4,
            ),
            stat(
                "Attempts in this time",
                "Attempts in the time that is shown: blocked and observed, with all their repeats.",
                "short",
                {"attempts": f"sum(increase(enforcer_attempts_total{{{BOTH}}}[$__range]))"},
            ),
            stat(
                "Devices, 24 h",
                "Different devices with an attempt within 24 hours, by service.",
                "short",
                {"{{service}}": f'sum by (service) (enforcer_devices_attempting{{{BOTH}, window="24h"}})'},
            ),
            stat(
                "Attempts with a device",
                "The share of the attempts of the last ten minutes whose device is known.",
                "percentunit",
                {"coverage": f"min(enforcer_identity_coverage_ratio{{{NODE}}})"},
                steps=((None, RED), (0.9, ORANGE), (0.98, GREEN)),
            ),
            stat(
                "Attempts not recorded",
                "Attempts that were blocked and counted, and could not be kept. Anything but none is an alarm.",
                "short",
                {"lost": f"sum(increase(enforcer_attempts_dropped_total{{{NODE}}}[$__range]))"},
                words={"0": "none"},
                steps=((None, GREEN), (1, RED)),
            ),
        ],
        "Attempts": [
            Panel(
                "Attempts by service",
                "Attempts a minute, by the banned service.",
                "cpm",
                {"{{service}}": "60 * " + by("service", "enforcer_attempts_total", BOTH)},
                width=12,
                stacked=True,
            ),
            Panel(
                "Attempts by layer and action",
                "Attempts a minute, by where they were seen and what was done. Layers beside DNS go round it.",
                "cpm",
                {"{{layer}}, {{action}}": "60 * " + by("layer, action", "enforcer_attempts_total", BOTH)},
                width=12,
                stacked=True,
            ),
            Panel(
                "Devices with the most attempts",
                "Attempts of the last 24 hours, of the devices with the most; all others are `other`.",
                "short",
                {"": f"topk(50, sum by (device, service) (enforcer_device_attempts{{{BOTH}}} > 0))"},
                kind="table",
                width=12,
            ),
            Panel(
                "Different devices",
                "Different devices with an attempt within the last hour and the last 24 hours.",
                "short",
                {"{{service}}, {{window}}": f"sum by (service, window) (enforcer_devices_attempting{{{BOTH}}})"},
                width=12,
            ),
            Panel(
                "What told the device",
                "Attempts a minute, by the source that told whose address it was. Unknown ones have no device.",
                "cpm",
                {"{{source}}": "60 * " + by("source", "enforcer_attempts_identified_total")},
                width=12,
                stacked=True,
            ),
            Panel(
                "Devices by state",
                "Devices of the inventory, those in a network of ours within 24 hours, and those in none.",
                "short",
                {"{{state}}": f"sum by (state) (enforcer_devices{{{NODE}}})"},
                width=6,
            ),
            Panel(
                "Rules and exemptions",
                "Rules in force, and exemptions that have not ended, by service.",
                "short",
                {
                    "{{service}}, rules": f"sum by (service) (enforcer_policy_rules{{{BOTH}}})",
                    "{{service}}, exemptions": (
                        f'max by (service) (enforcer_policy_exemptions{{{BOTH}, state="active"}})'
                    ),
                },
                width=6,
            ),
        ],
    },
)

LATENCY = "enforcer_dns_response_duration_seconds"
RESOLVER = Dashboard(
    "resolver",
    "Enforcer: resolver",
    "What the resolver answers, how fast, from where, and what goes wrong.",
    {
        "Answers": [
            Panel(
                "Responses by outcome",
                "Answers a second by what became of the question.",
                "reqps",
                {"{{outcome}}": by("outcome", "enforcer_dns_responses_total")},
                width=12,
                stacked=True,
            ),
            Panel(
                "Errors",
                "The share of answers that are errors: failures of ours or of upstreams, and questions that are none.",
                "percentunit",
                {
                    "{{outcome}}": by(
                        "outcome",
                        "enforcer_dns_responses_total",
                        f'{NODE}, outcome=~"servfail|formerr|refused|dropped"',
                    )
                    + f" / on () group_left () sum(rate(enforcer_dns_responses_total{{{NODE}}}[{RATE}]))"
                },
                width=12,
            ),
            Panel(
                "Latency by outcome",
                "From reading a question to sending its answer: the median, and what one in 100 exceeds.",
                "s",
                quantiles(LATENCY, "outcome"),
                width=12,
            ),
            Panel(
                "Latency of forwarded questions",
                "How many answers took how long, upstreams included.",
                "s",
                {"{{le}}": f'sum by (le) (increase({LATENCY}_bucket{{{NODE}, outcome="forwarded"}}[{RATE}]))'},
                kind="heatmap",
                width=12,
            ),
            Panel(
                "Questions by type",
                "Questions a second by the type that is asked for.",
                "reqps",
                {"{{qtype}}": by("qtype", "enforcer_dns_queries_total")},
                width=12,
                stacked=True,
            ),
            Panel(
                "Questions by transport",
                "Questions a second by how they came, and over which version of IP.",
                "reqps",
                {"{{transport}}, IPv{{family}}": by("transport, family", "enforcer_dns_queries_total")},
                width=12,
                stacked=True,
            ),
        ],
        "Cache": [
            Panel(
                "Cache hits",
                "The share of look-ups that the cache could answer, stale answers included.",
                "percentunit",
                {
                    "hits": f'sum(rate(enforcer_cache_requests_total{{{NODE}, result=~"hit|stale"}}[{RATE}]))'
                    f" / sum(rate(enforcer_cache_requests_total{{{NODE}}}[{RATE}]))"
                },
            ),
            Panel(
                "Cache size",
                "Bytes that cached answers take, estimated.",
                "bytes",
                {"{{instance}}": f"sum by (instance) (enforcer_cache_bytes{{{NODE}}})"},
            ),
            Panel(
                "Cached answers",
                "Answers that are kept.",
                "short",
                {"{{instance}}": f"sum by (instance) (enforcer_cache_entries{{{NODE}}})"},
            ),
        ],
        "Upstreams": [
            stat(
                "Upstreams up",
                "Whether an upstream is asked, or passed over since it did not answer.",
                "none",
                {"{{upstream}}": f"min by (upstream) (enforcer_upstream_up{{{NODE}}})"},
                words={"1": "answers", "0": "passed over"},
                steps=((None, RED), (1, GREEN)),
                width=24,
            ),
            Panel(
                "Upstream questions",
                "Questions a second that each upstream is asked, retries included.",
                "reqps",
                {"{{upstream}}": by("upstream", "enforcer_upstream_queries_total")},
                stacked=True,
            ),
            Panel(
                "Upstream latency",
                "How long upstreams take to answer.",
                "s",
                quantiles("enforcer_upstream_duration_seconds", "upstream"),
            ),
            Panel(
                "Upstream failures",
                "Questions a second that brought no usable answer, by reason.",
                "reqps",
                {"{{upstream}}, {{reason}}": by("upstream, reason", "enforcer_upstream_failures_total")},
            ),
        ],
    },
)

DECISION = "enforcer_proxy_decision_duration_seconds"
CONNECTIONS = Dashboard(
    "connections",
    "Enforcer: proxy and gateway",
    "What connections show, what becomes of them, and what the kernel rejects.",
    {
        "Connections": [
            Panel(
                "Connections by verdict",
                "Connections a second by what became of them. Failed ones were closed without a verdict.",
                "cps",
                {"{{verdict}}": by("verdict", "enforcer_proxy_connections_total")},
                width=12,
                stacked=True,
            ),
            Panel(
                "Connections by layer",
                "Connections a second by what they showed first.",
                "cps",
                {"{{layer}}": by("layer", "enforcer_proxy_connections_total")},
                width=12,
                stacked=True,
            ),
            Panel(
                "Refused connections",
                "Connections a second that were refused, by what they showed.",
                "cps",
                {
                    "{{layer}}": by("layer", "enforcer_proxy_connections_total", f'{NODE}, verdict="blocked"'),
                },
                stacked=True,
            ),
            Panel(
                "Open connections",
                "Connections that the proxy carries now. The gate leaves what it allows to the kernel.",
                "short",
                {"{{instance}}": f"sum by (instance) (enforcer_proxy_active_connections{{{NODE}}})"},
            ),
            Panel(
                "Failed connections",
                "Connections a second that were closed without a verdict. They should be rare.",
                "cps",
                {"{{layer}}": by("layer", "enforcer_proxy_connections_total", f'{NODE}, verdict="failed"')},
            ),
            Panel(
                "Time to decide",
                "Work to judge what a connection has shown, without waiting for it.",
                "s",
                quantiles(DECISION, ""),
                width=12,
            ),
            Panel(
                "How long decisions take",
                "How many decisions took how long.",
                "s",
                {"{{le}}": f"sum by (le) (increase({DECISION}_bucket{{{NODE}}}[{RATE}]))"},
                kind="heatmap",
                width=12,
            ),
        ],
        "Kernel": [
            Panel(
                "Packets that the kernel rejects",
                "Rejected packets a second, for a banned address or for MMTLS.",
                "pps",
                {"{{service}}, {{layer}}": by("service, layer", "enforcer_gateway_drops_total", BOTH)},
                width=12,
            ),
            Panel(
                "Attempts beside DNS",
                "Attempts a minute that did not ask the resolver, or did not heed it.",
                "cpm",
                {
                    "{{service}}, {{layer}}": "60 * "
                    + by("service, layer", "enforcer_attempts_total", f'{BOTH}, layer!="dns"')
                },
                width=12,
                stacked=True,
            ),
        ],
    },
)

LAST_PROBE = "enforcer_probe_last_success_timestamp_seconds"
RESTARTS = "enforcer_worker_restarts_total"
EXPIRY = "enforcer_certificate_expiry_timestamp_seconds"
EVIDENCE = Dashboard(
    "evidence",
    "Enforcer: evidence and pipeline",
    "Is every attempt on its way into the record, is the record whole, and does everything run?",
    {
        "Proof that the ban is in force": [
            Panel(
                "Probes",
                "1 while a banned name of the service is refused over the transport, 0 while it is not.",
                "none",
                {"{{service}}, {{transport}}": f"min by (service, transport) (enforcer_probe_success{{{BOTH}}})"},
                width=12,
                words={"1": "refused", "0": "NOT refused"},
            ),
            Panel(
                "Since the last good probe",
                "Time since a banned name was last seen to be refused. Above three minutes it is an alarm.",
                "s",
                {"{{service}}": f"time() - min by (service) ({LAST_PROBE}{{{BOTH}}})"},
                width=12,
            ),
        ],
        "From the block to the log": [
            stat(
                "Log",
                "Whether the log can be written. While it cannot, attempts wait in the spool.",
                "none",
                {"log": f"min(enforcer_log_writable{{{NODE}}})"},
                words={"1": "written", "0": "attempts wait"},
                steps=((None, RED), (1, GREEN)),
            ),
            stat(
                "Last signature",
                "The age of the last signed checkpoint of the log.",
                "s",
                {"age": f"time() - min(enforcer_log_checkpoint_timestamp_seconds{{{NODE}}})"},
                steps=((None, GREEN), (900, RED)),
            ),
            stat(
                "Oldest day kept",
                "The age of the oldest day of the log; retention deletes whole days.",
                "s",
                {"age": f"time() - min(enforcer_log_oldest_timestamp_seconds{{{NODE}}})"},
            ),
            stat(
                "Legal holds",
                "Holds in force: what they name is not deleted.",
                "short",
                {"holds": f"sum(enforcer_log_holds{{{NODE}}})"},
                words={"0": "none"},
            ),
            Panel(
                "Spool",
                "Bytes that wait for the hub, by worker.",
                "bytes",
                {"{{instance}} {{worker}}": f"sum by (instance, worker) (enforcer_spool_bytes{{{NODE}}})"},
            ),
            Panel(
                "Age of the spool",
                "Age of the oldest part that the hub is not past, by worker.",
                "s",
                {"{{instance}} {{worker}}": f"max by (instance, worker) (enforcer_spool_oldest_seconds{{{NODE}}})"},
            ),
            Panel(
                "Attempts not recorded, by reason",
                "Attempts a minute that were blocked, counted and not kept.",
                "cpm",
                {"{{reason}}": "60 * " + by("reason", "enforcer_attempts_dropped_total")},
            ),
            Panel(
                "Log lines",
                "Lines of the log a minute.",
                "cpm",
                {"{{instance}}": f"60 * sum by (instance) (deriv(enforcer_log_sequence{{{NODE}}}[{RATE}]))"},
            ),
            Panel(
                "Lines without a signature",
                "Lines behind the last signed checkpoint.",
                "short",
                {"{{instance}}": f"sum by (instance) (enforcer_log_unsigned_records{{{NODE}}})"},
            ),
            Panel(
                "Index behind",
                "Lines of the log that cannot be looked up yet.",
                "short",
                {"{{instance}}": f"sum by (instance) (enforcer_index_lag_records{{{NODE}}})"},
            ),
        ],
        "Sinks": [
            Panel(
                "Handed over",
                "Records a minute that each sink has taken.",
                "cpm",
                {"{{sink}}": "60 * " + by("sink", "enforcer_sink_records_total")},
            ),
            Panel(
                "Sinks behind",
                "How long the oldest record has waited for each sink. Above ten minutes it is an alarm.",
                "s",
                {"{{sink}}": f"max by (sink) (enforcer_sink_lag_seconds{{{NODE}}})"},
            ),
            Panel(
                "Trouble with sinks",
                "Deliveries that failed and are tried again, records refused for good, records deleted before that.",
                "cpm",
                {
                    "{{sink}}, failed": "60 * " + by("sink", "enforcer_sink_failures_total"),
                    "{{sink}}, refused": "60 * " + by("sink", "enforcer_sink_refused_total"),
                    "{{sink}}, missed": "60 * " + by("sink", "enforcer_sink_missed_total"),
                },
            ),
        ],
        "Who is behind an address": [
            Panel(
                "Sessions and addresses",
                "Accounting sessions that are kept, by state, added up over realms.",
                "short",
                {"{{state}}": f"sum by (state) (enforcer_identity_sessions{{{NODE}}})"},
            ),
            Panel(
                "Look-ups of devices",
                "Look-ups a minute by what they found.",
                "cpm",
                {"{{source}}, {{result}}": "60 * " + by("source, result", "enforcer_identity_lookups_total")},
            ),
            Panel(
                "Attempts with a device, over time",
                "The share of the attempts of ten minutes whose device is known.",
                "percentunit",
                {"{{instance}}": f"min by (instance) (enforcer_identity_coverage_ratio{{{NODE}}})"},
            ),
        ],
        "Processes": [
            Panel(
                "Processes up",
                "Processes that have said within ten seconds that they live, by kind.",
                "short",
                {"{{kind}}": f"sum by (kind) (enforcer_worker_up{{{NODE}}})"},
                width=6,
            ),
            Panel(
                "Restarts",
                "Processes that were started again after they had ended.",
                "short",
                {"{{instance}} {{kind}}": f"sum by (instance, kind) (increase({RESTARTS}{{{NODE}}}[{RATE}]))"},
                width=6,
            ),
            Panel(
                "Policy loads",
                "Starts and reloads by their result.",
                "short",
                {"{{result}}": f"sum by (result) (increase(enforcer_policy_loads_total{{{NODE}}}[{RATE}]))"},
                width=6,
            ),
            Panel(
                "Certificates",
                "Time until the certificate of each listener ends. Under two weeks it is an alarm.",
                "s",
                {"{{listener}}": f"min by (listener) ({EXPIRY}{{{NODE}}}) - time()"},
                width=6,
            ),
        ],
    },
)

DASHBOARDS = (OVERVIEW, RESOLVER, CONNECTIONS, EVIDENCE)
