"""Whether every attempt is on its way into the record, and who is behind it."""

from panel import BOTH, GREEN, NODE, ORANGE, RATE, RED, Dashboard, Panel, by, stat

LAST_PROBE = "enforcer_probe_last_success_timestamp_seconds"
RESTARTS = "enforcer_worker_restarts_total"
PURGED = "enforcer_log_purged_files_total"
LAST_PACKET = "enforcer_radius_last_packet_timestamp_seconds"
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
                "Bytes that wait for the hub, by worker, and what all of them together may take.",
                "bytes",
                {
                    "{{instance}} {{worker}}": f"sum by (instance, worker) (enforcer_spool_bytes{{{NODE}}})",
                    "{{instance}} at most": f"max by (instance) (enforcer_spool_capacity_bytes{{{NODE}}})",
                },
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
            Panel(
                "Signatures",
                "Attempts to sign the log, by result.",
                "short",
                {"{{result}}": f"sum by (result) (increase(enforcer_log_checkpoints_total{{{NODE}}}[{RATE}]))"},
                width=12,
            ),
            Panel(
                "Days deleted and overdue",
                "Days of the log that retention deleted, and those older than they may be, by what keeps them.",
                "short",
                {
                    "deleted, {{reason}}": f"sum by (reason) (increase({PURGED}{{{NODE}}}[{RATE}]))",
                    "overdue, kept by {{kept}}": f"sum by (kept) (enforcer_log_overdue_files{{{NODE}}})",
                },
                width=12,
            ),
        ],
        "Sinks": [
            Panel(
                "Handed over",
                "Records a minute that each sink has taken.",
                "cpm",
                {"{{sink}}": "60 * " + by("sink", "enforcer_sink_records_total")},
                width=12,
            ),
            Panel(
                "Sinks behind",
                "How long the oldest record has waited for each sink. Above ten minutes it is an alarm.",
                "s",
                {"{{sink}}": f"max by (sink) (enforcer_sink_lag_seconds{{{NODE}}})"},
                width=12,
            ),
            Panel(
                "Records behind",
                "Lines of the log that are not surely handed over to each sink.",
                "short",
                {"{{sink}}": f"sum by (sink) (enforcer_sink_lag_records{{{NODE}}})"},
                width=12,
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
                width=12,
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
            Panel(
                "RADIUS packets",
                "Accounting packets a second by result. Others than accepted and duplicate were not believed.",
                "pps",
                {"{{realm}}, {{result}}": by("realm, result", "enforcer_radius_packets_total")},
            ),
            Panel(
                "Since the last RADIUS packet",
                "Time since the last authentic packet. Above half an hour it is an alarm.",
                "s",
                {
                    "{{realm}}": f"time() - max by (realm) ({LAST_PACKET}{{{NODE}}} > 0)",
                },
            ),
            Panel(
                "Clocks of gateways",
                "How far the clock of the gateway that is furthest off differs from ours.",
                "s",
                {"{{realm}}": f"max by (realm) (enforcer_radius_event_skew_seconds{{{NODE}}})"},
            ),
            stat(
                "What accounting tells",
                "Whether accounting of a realm has had what its gateways were to be set up to send.",
                "none",
                {"{{realm}}, {{what}}": f"max by (realm, what) (enforcer_radius_told{{{NODE}}})"},
                words={"1": "told", "0": "not yet"},
                steps=((None, ORANGE), (1, GREEN)),
                width=24,
            ),
            Panel(
                "Addresses by source",
                "Addresses that leases, neighbours and tunnels tell of now.",
                "short",
                {"{{realm}}, {{source}}": f"sum by (realm, source) (enforcer_identity_source_entries{{{NODE}}})"},
            ),
            Panel(
                "Not in the inventory",
                "Open sessions of what the inventory does not name, and lines of it that cannot be used.",
                "short",
                {
                    "{{kind}}": f"sum by (kind) (enforcer_identity_unlisted{{{NODE}}})",
                    "unusable lines": f"sum(enforcer_identity_inventory_rejected_lines{{{NODE}}})",
                },
            ),
            stat(
                "Sessions shared over Redis",
                "Whether the Redis through which gateways tell each other of sessions answers. Empty without one.",
                "none",
                {"{{instance}}": f"min by (instance) (enforcer_identity_shared_up{{{NODE}}})"},
                words={"1": "answers", "0": "away"},
                steps=((None, RED), (1, GREEN)),
                width=12,
                height=8,
            ),
            Panel(
                "Shared reports",
                "Reports a minute that other gateways told, and those that could not be told while Redis was away.",
                "cpm",
                {
                    "told by others": f"60 * sum(rate(enforcer_identity_shared_reports_total{{{NODE}}}[{RATE}]))",
                    "lost": f"60 * sum(rate(enforcer_identity_shared_lost_total{{{NODE}}}[{RATE}]))",
                },
                width=12,
            ),
            Panel(
                "Doubts",
                "Look-ups a minute in which two sources named different devices, and reports that were not believed.",
                "cpm",
                {
                    "{{source}} against {{other}}": "60 * " + by("source, other", "enforcer_identity_conflicts_total"),
                    "not believed, {{reason}}": "60 * " + by("reason", "enforcer_identity_refusals_total"),
                },
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
