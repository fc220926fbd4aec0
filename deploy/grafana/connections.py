"""What connections show, and what becomes of them."""

from panel import BOTH, NODE, RATE, Dashboard, Panel, by, quantiles

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
                "Packets stopped for other reasons",
                "Stopped packets a second that are no attempts, by reason: the ban could not have been kept with them.",
                "pps",
                {"{{reason}}": by("reason", "enforcer_gateway_rejected_total")},
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
                width=24,
                stacked=True,
            ),
        ],
    },
)
