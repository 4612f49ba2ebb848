"""The dashboards, as code: `make dashboards` writes them to deploy/grafana/dashboards.

A page is rows of panels; a panel is a question with its queries, each under the legend of its series. `$job`
is chosen at the top of a page. How it all becomes Grafana's JSON is in `deploy/grafana/__main__.py`.
"""

from dataclasses import dataclass
from typing import Final, Literal

JOB: Final = 'job=~"$job"'


@dataclass(frozen=True)
class Panel:
    """A question, what to know about its answer, and the queries that give it."""

    title: str
    says: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Literal["stat", "lines", "bars", "table"] = "lines"
    width: int = 8
    """Of the 24 columns of a page."""
    bad_from: float | None = None
    """From here on a number is red."""
    height: int = 8


@dataclass(frozen=True)
class Page:
    """A dashboard: its panels by the title of their row."""

    uid: str
    title: str
    says: str
    rows: dict[str, tuple[Panel, ...]]


def number(  # noqa: PLR0913, PLR0917  # what a panel is made of
    title: str,
    says: str,
    query: str,
    unit: str = "short",
    bad: float | None = None,
    height: int = 4,
) -> Panel:
    """Return a panel with one number."""
    return Panel(title, says, {"": query}, unit, "stat", 4, bad, height)


def rate(metric: str, by: str = "source") -> str:
    """Return a query for how often something happens a second."""
    return f"sum by ({by}) (rate({metric}{{{JOB}}}[$__rate_interval]))"


def quantiles(metric: str, by: str = "source") -> dict[str, str]:
    """Return queries for the middle and the slowest hundredth of a histogram."""
    buckets = f"sum by ({by}, le) (rate({metric}_bucket{{{JOB}}}[$__rate_interval]))"
    return {
        f"{{{{{by}}}}} 50 %": f"histogram_quantile(0.5, {buckets})",
        f"{{{{{by}}}}} 99 %": f"histogram_quantile(0.99, {buckets})",
    }


ON_CALL: Final = Page(
    "penjaga-on-call",
    "On-call",
    "Is it keeping up, is it losing anything, is it flagging oddly? Alerts: deploy/runbook.md.",
    {
        "Now": (
            number(
                "Alerts firing",
                "Each has a section of its own in the runbook.",
                f'count(ALERTS{{alertname=~"Penjaga.+", alertstate="firing", {JOB}}}) or vector(0)',
                bad=1,
            ),
            number("Workers that answer", "Targets that Prometheus reaches.", f"sum(up{{{JOB}}})"),
            number(
                "Partitions read",
                "Of all sources together; 0 means that nothing is screened.",
                f"sum(penjaga_assigned_partitions{{{JOB}}})",
            ),
            number(
                "Backlog",
                "How long what waits takes at the present speed; the slowest source.",
                f"max(source:penjaga_catch_up_seconds:ratio{{{JOB}}})",
                "s",
                60,
            ),
            number(
                "Rejected",
                "Share of all records, tombstones left out; the worst source.",
                f"max(source:penjaga_events_rejected:ratio_rate10m{{{JOB}}})",
                "percentunit",
                0.01,
            ),
            number(
                "Last canary",
                "How long ago the canary string came through; empty where it was never posted.",
                f"time() - min(penjaga_canary_last_seen_timestamp_seconds{{{JOB}}} > 0)",
                "s",
                900,
            ),
        ),
        "Is it keeping up?": (
            Panel(
                "Records read", "A second.", {"{{source}}": rate("penjaga_events_received_total")}
            ),
            Panel(
                "Records waiting",
                "Not confirmed yet, as far as the broker has told the workers.",
                {"{{source}}": f"sum by (source) (penjaga_consumer_lag_records{{{JOB}}})"},
            ),
            Panel(
                "From an event to the confirmation of its batch",
                "Counts from the event's own time: events that the platform sends late show here too.",
                quantiles("penjaga_event_delay_seconds"),
                "s",
            ),
            Panel(
                "Processor",
                "Cores in use. A process uses one at most.",
                {"{{instance}}": rate("process_cpu_seconds_total", "instance")},
            ),
            Panel(
                "Memory",
                "Resident, of all processes of a worker.",
                {
                    "{{instance}}": f"sum by (instance) (process_resident_memory_bytes{{{JOB}}})",
                },
                "bytes",
            ),
            Panel(
                "Starts within an hour",
                "Of the process of a worker that started most often.",
                {
                    "{{instance}}": "max by (instance) "
                    f"(changes(process_start_time_seconds{{{JOB}}}[1h]))",
                },
            ),
        ),
        "Is it losing anything?": (
            Panel(
                "Unaccounted",
                "Records read that neither passed nor were flagged nor rejected. Anything but 0 is a bug.",
                {
                    "{{source}}": " - ".join(
                        f"sum by (source) (penjaga_events_{what}_total{{{JOB}}})"
                        for what in ("received", "passed", "flagged", "rejected")
                    ),
                },
                bad_from=1,
            ),
            Panel(
                "Rejected",
                "Dead letters a second; each keeps its bytes and its reason.",
                {"{{source}} {{reason}}": rate("penjaga_events_rejected_total", "source, reason")},
            ),
            Panel(
                "Rejected in a row",
                "As a share of the number that stops the worker.",
                {
                    "{{source}}": f"max by (source) (penjaga_events_rejected_in_a_row{{{JOB}}} "
                    "/ ignoring (source) group_left penjaga_events_rejected_in_a_row_limit)",
                },
                "percentunit",
                bad_from=0.5,
            ),
        ),
        "Is anything kept from people?": (
            Panel(
                "Expired unread",
                "Records that retention took before they were read, within an hour.",
                {
                    "{{source}}": f"sum by (source) (increase(penjaga_records_expired_total{{{JOB}}}[1h]))"
                },
                bad_from=1,
            ),
            Panel(
                "Held back",
                "Escalations within an hour beyond a quota; they are on the overflow topic.",
                {
                    "{{label}}": "sum by (label) "
                    f"(increase(penjaga_escalations_held_back_total{{{JOB}}}[1h]))",
                },
                bad_from=1,
            ),
            Panel(
                "Stopped",
                "Processes in which a detector that was changed floods, and escalates nothing.",
                {"{{detector}}": f"sum by (detector) (penjaga_detector_stopped{{{JOB}}})"},
                bad_from=1,
            ),
        ),
        "Is it flagging oddly?": (
            Panel(
                "Escalated, now",
                "Share of the records of half an hour.",
                {"{{label}}": f"sum by (label) (label:penjaga_escalations:ratio_rate30m{{{JOB}}})"},
                "percentunit",
            ),
            Panel(
                "Escalated, this week",
                "The same as an average over a week: what now is compared with.",
                {
                    "{{label}}": "sum by (label) "
                    f"(avg_over_time(label:penjaga_escalations:ratio_rate30m{{{JOB}}}[1w]))",
                },
                "percentunit",
            ),
            Panel(
                "What runs",
                "More than one line for long: workers disagree.",
                {
                    "": "count by (version, digest, instance) "
                    f"(penjaga_configuration_info{{{JOB}}} == 1)"
                },
                kind="table",
            ),
        ),
    },
)

DETECTORS: Final = Page(
    "penjaga-detectors",
    "Detectors",
    "What each detector finds and costs, where one fails, and how the lists of bad links fare.",
    {
        "Findings": (
            Panel(
                "By detector",
                "A second.",
                {"{{detector}}": rate("penjaga_findings_total", "detector")},
            ),
            Panel("By label", "A second.", {"{{label}}": rate("penjaga_findings_total", "label")}),
            Panel(
                "Verdicts",
                "What the policy made of them, a second; shadow reaches nobody.",
                {"{{action}}": rate("penjaga_verdicts_total", "action")},
            ),
        ),
        "Failures": (
            Panel(
                "Without an answer",
                "Events a second for which a detector raised, took too long, or broke its contract.",
                {
                    "{{detector}}": "sum by (detector) (rate(penjaga_findings_total"
                    f'{{label="detector.failed", {JOB}}}[$__rate_interval]))',
                },
            ),
            Panel(
                "Over budget",
                "Times a second that a detector took longer than budget_seconds.",
                {"{{detector}}": rate("penjaga_detector_overruns_total", "detector")},
            ),
            Panel(
                "Left alone",
                "Processes that ask a detector no more, after repeated failures.",
                {"{{detector}}": f"sum by (detector) (penjaga_detector_breaker_open{{{JOB}}})"},
                bad_from=1,
            ),
        ),
        "Cost and versions": (
            Panel("Time to screen a batch", "", quantiles("penjaga_screen_seconds"), "s"),
            Panel(
                "Time to screen a record",
                "On average; all detectors together.",
                {
                    "{{source}}": f"{rate('penjaga_screen_seconds_sum')} / "
                    f"{rate('penjaga_batch_records_sum')}",
                },
                "s",
            ),
            Panel(
                "Versions",
                "A detector's terms and model are part of its version.",
                {"": f"count by (detector, version) (penjaga_detector_info{{{JOB}}} == 1)"},
                kind="table",
            ),
        ),
        "Lists of bad links": (
            Panel(
                "Age",
                "Since a list's source last confirmed it.",
                {"{{feed}}": f"min by (feed) (penjaga_feed_age_seconds{{{JOB}}})"},
                "s",
            ),
            Panel(
                "Names in use",
                "",
                {"{{feed}}": f"min by (feed) (penjaga_feed_entries{{{JOB}}})"},
            ),
            Panel(
                "Last sync",
                "What became of each list.",
                {"": f"count by (feed, outcome) (penjaga_feed_last_sync{{{JOB}}} == 1)"},
                kind="table",
            ),
        ),
    },
)

DELIVERY: Final = Page(
    "penjaga-broker-and-delivery",
    "Broker and delivery",
    "What waits at the broker, what is in hand, and how long the broker takes to confirm.",
    {
        "In": (
            Panel(
                "Waiting, by partition",
                "One partition alone: its key is hot. All of a worker: the worker is slow.",
                {
                    "{{source}}/{{partition}}": "sum by (source, partition) "
                    f"(penjaga_consumer_lag_records{{{JOB}}})",
                },
                width=12,
            ),
            Panel(
                "Bytes read",
                "A second.",
                {"{{source}}": rate("penjaga_received_bytes_total")},
                "Bps",
                width=12,
            ),
            Panel("Records in a batch", "", quantiles("penjaga_batch_records")),
            Panel(
                "Partitions of each worker",
                "",
                {"{{instance}}": f"sum by (instance) (penjaga_assigned_partitions{{{JOB}}})"},
            ),
            Panel(
                "Assignments within a quarter of an hour",
                "Each is a rebalance: a worker came, went, or fell silent.",
                {
                    "{{instance}}": "sum by (instance) "
                    f"(increase(penjaga_consumer_assignments_total{{{JOB}}}[15m]))",
                },
            ),
        ),
        "Out": (
            Panel(
                "Longest unconfirmed",
                "Of the batches in hand. At kafka.delivery_seconds the worker stops.",
                {"{{instance}}": f"max by (instance) (penjaga_batch_unconfirmed_seconds{{{JOB}}})"},
                "s",
                bad_from=30,
            ),
            Panel(
                "Time until a batch is confirmed",
                "Screening included.",
                quantiles("penjaga_delivery_seconds"),
                "s",
            ),
            Panel(
                "Chunks in hand",
                "Fetched and not confirmed, at most 16 a process: then fetching waits.",
                {"{{instance}}": f"sum by (instance) (penjaga_consumer_chunks{{{JOB}}})"},
            ),
            Panel(
                "Confirmed writes",
                "A second.",
                {"{{topic}}": rate("penjaga_writes_confirmed_total", "topic")},
            ),
            Panel(
                "Too large for their topic",
                "Escalations within an hour that were written without evidence, or not at all.",
                {
                    "{{form}}": f"sum by (form) (increase(penjaga_writes_reduced_total{{{JOB}}}[1h]))",
                },
                bad_from=1,
            ),
            Panel(
                "Since the last batch",
                "Long where nothing is written is no fault; long where records wait is.",
                {
                    "{{source}}": "time() - max by (source) "
                    f"(penjaga_last_batch_timestamp_seconds{{{JOB}}})",
                },
                "s",
            ),
        ),
        "Memory of subjects": (
            Panel(
                "Signals",
                "A second, by what became of them.",
                {"{{outcome}}": rate("penjaga_signals_received_total", "outcome")},
            ),
            Panel(
                "Levels crossed",
                "By subjects, within an hour.",
                {
                    "{{behaviour}} {{level}}": "sum by (behaviour, level) "
                    f"(increase(penjaga_subjects_crossings_total{{{JOB}}}[1h]))",
                },
            ),
            Panel(
                "Time to add up a batch of signals",
                "",
                quantiles("penjaga_correlate_seconds", "job"),
                "s",
            ),
            Panel(
                "Reading memory back",
                "Processes that do; meanwhile they screen nothing.",
                {"{{instance}}": f"sum by (instance) (penjaga_table_recovering{{{JOB}}})"},
                bad_from=1,
                width=12,
            ),
            Panel(
                "Last time that memory was read back",
                "How long it took.",
                {"{{instance}}": f"max by (instance) (penjaga_table_recovery_seconds{{{JOB}}})"},
                "s",
                width=12,
            ),
        ),
    },
)

_ESCALATIONS: Final = f'penjaga_escalations_total{{label!="canary.seen", {JOB}}}'
_LANGUAGES: Final = f'penjaga_escalations_by_language_total{{label!="canary.seen", {JOB}}}'


def escalated(by: str, series: str = _ESCALATIONS) -> dict[str, str]:
    """Return a query for what was escalated within the time that the page shows."""
    return {f"{{{{{by}}}}}": f"sum by ({by}) (increase({series}[$__range]))"}


TRUST_AND_SAFETY: Final = Page(
    "penjaga-trust-and-safety",
    "Trust and safety",
    "What reached reviewers, and how fast. What they did with it is not here: Penjaga does not hear of it.",
    {
        "How fast": (
            number(
                "Escalated",
                "Within the time that the page shows; canaries left out.",
                f"sum(increase({_ESCALATIONS}[$__range]))",
                height=8,
            ),
            number(
                "A person looks now",
                "Of these, labels of severity SEV0.",
                f'sum(increase(penjaga_escalations_total{{severity="SEV0", {JOB}}}[$__range]))',
                height=8,
            ),
            Panel(
                "From message to escalation",
                "This much of the time until review is Penjaga's: from the event's own time until the "
                "broker has confirmed the escalation.",
                quantiles("penjaga_escalation_delay_seconds"),
                "s",
            ),
            Panel(
                "Escalated within a minute",
                "Share of all escalations.",
                {
                    "{{source}}": "sum by (source) (rate(penjaga_escalation_delay_seconds_bucket"
                    f'{{le="60.0", {JOB}}}[$__rate_interval])) / '
                    f"{rate('penjaga_escalation_delay_seconds_count')}",
                },
                "percentunit",
            ),
        ),
        "What": (
            Panel("By label", "", escalated("label"), kind="bars", width=12),
            Panel(
                "By severity",
                "See schemas/labels.toml.",
                escalated("severity"),
                kind="bars",
                width=12,
            ),
            Panel(
                "By label, over time",
                "A second.",
                {"{{label}}": f"sum by (label) (rate({_ESCALATIONS}[$__rate_interval]))"},
                width=24,
            ),
        ),
        "Where": (
            Panel("By source", "A source stands for a platform.", escalated("source"), kind="bars"),
            Panel(
                "By audience",
                "Direct messages, groups, public: the Online Safety Act leaves private messages out.",
                escalated("audience"),
                kind="bars",
            ),
            Panel(
                "By language",
                "As the platform tells it; unknown where it does not.",
                escalated("language", _LANGUAGES),
                kind="bars",
            ),
        ),
    },
)

PAGES: Final = (ON_CALL, DETECTORS, DELIVERY, TRUST_AND_SAFETY)
