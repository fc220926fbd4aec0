"""Whether the ban is in force, and who tries to get round it."""

from panel import BOTH, GREEN, NODE, ORANGE, RED, Dashboard, Panel, by, stat

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
