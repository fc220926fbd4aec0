"""What the resolver answers, and from where."""

from panel import GREEN, NODE, RATE, RED, Dashboard, Panel, by, quantiles, stat

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
