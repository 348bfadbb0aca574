"""Settings of every process. Values come from the environment (`.env.example` lists each name)."""

from pathlib import Path
from typing import Any

from polyhub import env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.text("POLYHUB_VAR_DIR") or BASE_DIR / "var")

# One machine with embedded parts, or a deployment that names its own database.
DATABASE_URL = env.text("DATABASE_URL")
REDIS_URL = env.text("REDIS_URL")
EMBEDDED = not DATABASE_URL
SECRETS_DIR = VAR_DIR / "secrets" if EMBEDDED else None

DEBUG = env.flag("POLYHUB_DEBUG", default=False)
SECRET_KEY = env.secret("SECRET_KEY", folder=SECRETS_DIR)
# Seals small secrets of users at rest (TOTP seeds). Not the keys of trading accounts: only the signer opens those.
FIELD_SECRET = env.secret("FIELD_SECRET", folder=SECRETS_DIR)
ALLOWED_HOSTS = [host for host in env.text("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",") if host]
CSRF_TRUSTED_ORIGINS = [origin for origin in env.text("CSRF_TRUSTED_ORIGINS").split(",") if origin]
BEHIND_HTTPS = env.flag("BEHIND_HTTPS", default=False)

INSTALLED_APPS = [
    "daphne",
    "polyhub",
    "polyhub.lib",
    "accounts",
    "markets",
    "riskmgmt",
    "scanner",
    "trading",
    "copytrade",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "channels",
    "channels_postgres",
    "django_q",
    "django_htmx",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "polyhub.middleware.private_by_default",
    "polyhub.middleware.refuse_nul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "polyhub.urls"
ASGI_APPLICATION = "polyhub.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "polyhub.context.page",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------------------------------
from polyhub.postgres import database_settings  # noqa: E402

DATABASES: dict[str, dict[str, Any]] = {"default": database_settings(url=DATABASE_URL, var_dir=VAR_DIR)}
DATABASES["default"]["TEST"] = {"NAME": env.text("TEST_DATABASE_NAME", "test_polyhub")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache, channel layer, queue ----------------------------------------------------------------------------------
CACHES: dict[str, dict[str, Any]]
CHANNEL_LAYERS: dict[str, dict[str, Any]]
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "lib_cache",
            # Django's 300 would let anybody push out sign-in limits and used codes with a few hundred requests.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_postgres.core.PostgresChannelLayer",
            "CONFIG": {
                key: value
                for key, value in DATABASES["default"].items()
                if key in {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS"}
            },
        }
    }

JOB_WORKERS = env.number("JOB_WORKERS", 2)
ENGINE_SHARDS = env.number("ENGINE_SHARDS", 1)
# One worker for the feed, one for each shard, one spare for the guard.
ENGINE_WORKERS = ENGINE_SHARDS + 2
# A service task runs for one slice, drains and enqueues its successor.
SERVICE_SLICE_S = env.number("SERVICE_SLICE_S", 240, least=10, most=270)
SERVICE_LEASE_S = env.number("SERVICE_LEASE_S", 8, least=3, most=120)
Q_CLUSTER: dict[str, Any] = {
    "name": "jobs",
    "workers": JOB_WORKERS,
    "queue_limit": JOB_WORKERS,
    "bulk": 1,
    "timeout": 300,
    "retry": 900,
    "max_attempts": 3,
    "ack_failures": True,
    "catch_up": False,
    "poll": 0.5,
    "guard_cycle": 1,
    "save_limit": 500,
    "label": "Jobs",
    "ALT_CLUSTERS": {
        "engines": {
            "workers": ENGINE_WORKERS,
            "queue_limit": ENGINE_WORKERS,
            "bulk": 1,
            "timeout": 300,
            "retry": 900,
            "max_attempts": 3,
            "ack_failures": True,
            "catch_up": False,
            "poll": 0.2,
            "guard_cycle": 1,
            "save_limit": 200,
        }
    },
}
if REDIS_URL:
    Q_CLUSTER["redis"] = REDIS_URL
else:
    Q_CLUSTER["orm"] = "default"

# --- The venue ----------------------------------------------------------------------------------------------------
# "sandbox": the local Polymarket; "polymarket": the real one. Live accounts trade wherever this points.
VENUE = env.text("POLYHUB_VENUE", "sandbox")
SANDBOX_URL = env.address("SANDBOX_URL", "http://127.0.0.1:8788")
_SANDBOX_WS = SANDBOX_URL.replace("http", "ws", 1)
VENUE_URLS: dict[str, str] = (
    {
        "clob": f"{SANDBOX_URL}/clob",
        "gamma": f"{SANDBOX_URL}/gamma",
        "data": f"{SANDBOX_URL}/data",
        "relayer": f"{SANDBOX_URL}/relayer",
        "rpc": f"{SANDBOX_URL}/rpc",
        "ws_rpc": f"{_SANDBOX_WS}/rpc",
        "geoblock": "",
        "ws_market": f"{_SANDBOX_WS}/ws/market",
        "ws_user": f"{_SANDBOX_WS}/ws/user",
        "ws_rtds": f"{_SANDBOX_WS}/ws/rtds",
    }
    if VENUE == "sandbox"
    else {
        "clob": env.text("CLOB_URL", "https://clob.polymarket.com"),
        "gamma": env.text("GAMMA_URL", "https://gamma-api.polymarket.com"),
        "data": env.text("DATA_URL", "https://data-api.polymarket.com"),
        "relayer": env.text("RELAYER_URL", "https://relayer-v2.polymarket.com"),
        "rpc": env.text("RPC_URL", "https://polygon.drpc.org"),
        "ws_rpc": env.text("RPC_WS_URL", ""),
        "geoblock": env.text("GEOBLOCK_URL", "https://polymarket.com/api/geoblock"),
        "ws_market": env.text("WS_MARKET_URL", "wss://ws-subscriptions-clob.polymarket.com/ws/market"),
        "ws_user": env.text("WS_USER_URL", "wss://ws-subscriptions-clob.polymarket.com/ws/user"),
        "ws_rtds": env.text("WS_RTDS_URL", "wss://ws-live-data.polymarket.com"),
    }
)
# The local venue keeps no rate limits unless told to; ours beside it are so many times the real ones.
VENUE_LIMIT_SCALE = env.number("VENUE_LIMIT_SCALE", 50 if VENUE == "sandbox" else 1)
# How long an order without an answer may still turn up at the venue; only then is it presumed not placed.
ORDER_HORIZON_S = env.number("ORDER_HORIZON_S", 120)
# A stored intent older than this is not sent any more: the market it was meant for has moved on.
ORDER_MAX_PENDING_S = env.number("ORDER_MAX_PENDING_S", 30)
# An order presumed not placed is looked for this long; a late fill is booked to it.
ORDER_WATCH_S = env.number("ORDER_WATCH_S", 86_400)
# Live accounts may send orders. Off by default; the sandbox's money is not real, so there it is on.
LIVE_TRADING = env.flag("LIVE_TRADING", default=VENUE == "sandbox")

# --- Signer -------------------------------------------------------------------------------------------------------
SIGNER_DIR = Path(env.text("SIGNER_DIR") or VAR_DIR / "signer")
SIGNER_SOCKET = env.text("SIGNER_SOCKET")
# Users besides the signer's own that may ask it to sign (their uids, separated by commas).
SIGNER_PEER_UIDS = [int(uid) for uid in env.text("SIGNER_PEER_UIDS").split(",") if uid]
SIGNER_PUBLIC_KEY_FILE = Path(env.text("SIGNER_PUBLIC_KEY_FILE") or SIGNER_DIR / "public.key")
SIGNER_PRIVATE_KEY_FILE = Path(env.text("SIGNER_PRIVATE_KEY_FILE") or SIGNER_DIR / "private.key")

# --- People -------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "cockpit"
LOGOUT_REDIRECT_URL = "landing"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# A stolen session must not add an e-mail address and reset the password through it.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_ADAPTER = "accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "PolyHub"
# A key that trades real money may only be imported by somebody with a second factor.
REQUIRE_MFA_FOR_KEYS = env.flag("REQUIRE_MFA_FOR_KEYS", default=VENUE != "sandbox")
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 0, least=0)
EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.number("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD", folder=None) if EMAIL_HOST_USER else ""
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "PolyHub <no-reply@localhost>")

# --- Web security -------------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = BEHIND_HTTPS
CSRF_COOKIE_SECURE = BEHIND_HTTPS
SESSION_COOKIE_NAME = "__Host-session" if BEHIND_HTTPS else "polyhub_session"
CSRF_COOKIE_NAME = "__Host-csrf" if BEHIND_HTTPS else "polyhub_csrf"
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "polyhub.views.csrf_failure"
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_HTTPS
SECURE_HSTS_PRELOAD = BEHIND_HTTPS
SECURE_SSL_REDIRECT = BEHIND_HTTPS
# Asked from the machine itself, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "polyhub.reporting.ReportFilter"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- API ----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ScopedTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["polyhub.api_parser.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "polyhub.api.Paging",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "polyhub.api.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "600/min"},
    "NUM_PROXIES": ALLAUTH_TRUSTED_PROXY_COUNT,
    "COERCE_DECIMAL_TO_STRING": True,
}
REST_KNOX = {
    "TOKEN_MODEL": "accounts.ApiToken",
    "SECURE_HASH_ALGORITHM": "hashlib.sha512",
    "TOKEN_TTL": None,
    "AUTH_HEADER_PREFIX": "Token",
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105 - a model, not a secret
# The library's own token table is replaced by ours; its migrations would make an unused one beside it.
MIGRATION_MODULES = {"knox": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "PolyHub API",
    "DESCRIPTION": "Copy wallets, follow every order, paper or live.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    # Enums stay where they are used: shared ones would get names that change with each new field.
    "POSTPROCESSING_HOOKS": ["polyhub.api.add_problem"],
}

# --- Language, time, static files ---------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
NODE_MODULES = BASE_DIR / "node_modules"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *(
        (prefix, NODE_MODULES / path)
        for prefix, path in (
            ("tabler", "@tabler/core/dist"),
            ("htmx", "htmx.org/dist"),
            ("htmx-ws", "htmx-ext-ws"),
            ("charts", "lightweight-charts/dist"),
        )
        if (NODE_MODULES / path).exists()
    ),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# --- Demo ---------------------------------------------------------------------------------------------------------
# Shows the demo users on the sign-in page and the sandbox banner; never with the real venue.
DEMO = env.flag("POLYHUB_DEMO", default=False) and VENUE == "sandbox"

from polyhub.logs import LOGGING as LOGGING  # noqa: E402, PLC0414 - a setting
