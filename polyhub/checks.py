"""System checks: contradictions between settings that would lose money, mail or logins are Errors at start."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

# Backends that live in one process: sign-in limits, TOTP replay protection and pushes would differ between processes.
PER_PROCESS_CACHES = {
    "django.core.cache.backends.locmem.LocMemCache",
    "django.core.cache.backends.dummy.DummyCache",
}
PER_PROCESS_LAYERS = {"channels.layers.InMemoryChannelLayer"}
# Redis layers other than PubSub lost messages under load without a word.
LOSSY_LAYERS = {"channels_redis.core.RedisChannelLayer"}
KEY_BYTES = 50
VENUES = {"sandbox", "polymarket"}


def register_all() -> None:
    register(live_trading_has_a_vault, Tags.security)
    register(clusters_are_safe, "queue")
    register(processes_share_state, Tags.caches)
    register(secrets_are_set, Tags.security)
    register(demo_is_not_live, Tags.security)
    register(venue_is_known, Tags.security)
    register(debug_is_not_live, Tags.security)


def live_trading_has_a_vault(**kwargs: Any) -> list[CheckMessage]:
    """Keys can be sealed only to a signer that exists. The one-machine sandbox makes its own at first start."""
    makes_its_own = settings.EMBEDDED and settings.VENUE == "sandbox"
    if not settings.LIVE_TRADING or makes_its_own or settings.SIGNER_PUBLIC_KEY_FILE.is_file():
        return []
    return [
        Error(
            f"Live trading is on, but the signer's public key {settings.SIGNER_PUBLIC_KEY_FILE} does not exist.",
            hint="Make it once: ./hub manage run_signer --make-keys --skip-checks. Or set LIVE_TRADING=false.",
            id="polyhub.E001",
        )
    ]


def clusters_are_safe(**kwargs: Any) -> list[CheckMessage]:
    """django-q2 runs a task again when its lock ends first; the lock starts when it is fetched, not when it runs."""
    return [
        Error(f'Q_CLUSTER "{name}": {fault}', hint=hint, id="polyhub.E002")
        for name, cluster in _clusters(settings.Q_CLUSTER)
        for fault, hint in _cluster_faults(cluster)
    ]


def _clusters(configured: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    shared = {key: value for key, value in configured.items() if key != "ALT_CLUSTERS"}
    yield str(configured.get("name", "default")), shared
    for name, changes in configured.get("ALT_CLUSTERS", {}).items():
        yield name, {**shared, **changes}


def _cluster_faults(cluster: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    workers, limit = cluster.get("workers"), cluster.get("queue_limit")
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if not workers or limit != workers:
        yield (
            "queue_limit must equal workers.",
            "A task fetched before a worker is free uses up its retry time waiting.",
        )
    if cluster.get("bulk", 1) != 1:
        yield "bulk must be 1.", "Tasks fetched together share one lock time."
    if not timeout:
        yield "timeout must be set.", "A stuck task would hold its worker for ever."
    elif retry < ((limit or 1) / (workers or 1) + 2) * timeout:
        yield "retry is too short.", "Set retry to at least (queue_limit / workers + 2) x timeout."
    if cluster.get("catch_up", True):
        yield "catch_up must be False.", "After a pause every missed turn of a schedule would run at once."
    if not cluster.get("max_attempts"):
        yield "max_attempts must be set.", "A task that kills its worker would be run again without end."


def processes_share_state(**kwargs: Any) -> list[CheckMessage]:
    cache = settings.CACHES["default"]["BACKEND"]
    layer = settings.CHANNEL_LAYERS["default"]["BACKEND"]
    faults: list[CheckMessage] = []
    if cache in PER_PROCESS_CACHES:
        faults.append(
            Error(
                f"The cache {cache} lives in one process, and PolyHub has several.",
                hint="Sign-in limits live there. Use the database cache, or Redis with REDIS_URL.",
                id="polyhub.E003",
            )
        )
    if layer in PER_PROCESS_LAYERS | LOSSY_LAYERS:
        faults.append(
            Error(
                f"The channel layer {layer} does not reach every process reliably.",
                hint="Use channels_postgres, or channels_redis.pubsub with REDIS_URL.",
                id="polyhub.E004",
            )
        )
    return faults


def secrets_are_set(**kwargs: Any) -> list[CheckMessage]:
    """Django's own check of SECRET_KEY runs only with --deploy and only warns."""
    if settings.DEBUG:
        return []
    return [
        Error(f"{name} is missing or too short.", hint=f"Set {name} to 50 random characters.", id="polyhub.E005")
        for name in ("SECRET_KEY", "FIELD_SECRET")
        if len(getattr(settings, name) or "") < KEY_BYTES
    ]


def demo_is_not_live(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEMO and settings.VENUE != "sandbox":
        return [Error("Demo users have known passwords and never belong beside the real venue.", id="polyhub.E006")]
    return []


def venue_is_known(**kwargs: Any) -> list[CheckMessage]:
    """Whatever is not the sandbox is taken for the real venue: a slip of the pen must not choose it."""
    if settings.VENUE in VENUES:
        return []
    return [
        Error(
            f"POLYHUB_VENUE is {settings.VENUE!r}.", hint=f"Set it to {' or '.join(sorted(VENUES))}.", id="polyhub.E007"
        )
    ]


def debug_is_not_live(**kwargs: Any) -> list[CheckMessage]:
    """Error pages of DEBUG show settings, queries and what was posted."""
    if settings.DEBUG and settings.VENUE != "sandbox":
        return [Error("POLYHUB_DEBUG is on beside the real venue.", hint="Unset POLYHUB_DEBUG.", id="polyhub.E008")]
    return []
