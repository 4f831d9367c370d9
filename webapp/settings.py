"""Settings. The only module that reads the environment; see docs/configuration.md."""

import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv

from predictors.history import Counting
from predictors.serving.remote import ADDRESSES, is_address
from webapp.databases import databases
from webapp.environment import Environment
from webapp.kafka_settings import refuse_wrong_kafka

BASE_DIR = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()
# A checkout is the folder of its site, too. The wheel has templates, static files and translations inside
# this package, and serves the site of the folder in which it runs.
FILES_DIR = BASE_DIR if IS_CHECKOUT else BASE_DIR / "webapp"
SITE_DIR = BASE_DIR if IS_CHECKOUT else Path.cwd()
load_dotenv(SITE_DIR / ".env")
environment = Environment()

# -- what may stop the start ------------------------------------------------------------------

DEBUG = environment.flag("DEBUG", default=False)
DATA_DIR = Path(environment.text("DATA_DIR", str(SITE_DIR / "var")))
DEVELOPMENT_KEY = "development-only-key-never-valid-outside-debug"
SECRET_KEY = environment.text("SECRET_KEY", DEVELOPMENT_KEY if DEBUG else "")
if not SECRET_KEY:
    environment.refuse("SECRET_KEY", "is not set", "Run `make .env`, or set 50 or more random characters.")
    SECRET_KEY = DEVELOPMENT_KEY
SECRET_KEY_FALLBACKS = environment.words("SECRET_KEY_FALLBACKS")

ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]") if DEBUG else ())
if not ALLOWED_HOSTS:
    environment.refuse("ALLOWED_HOSTS", "is not set", "Name the hosts of the site, separated by commas.")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")
for origin in CSRF_TRUSTED_ORIGINS:
    if urlsplit(origin).scheme not in ("http", "https"):
        environment.refuse("CSRF_TRUSTED_ORIGINS", f"holds {origin!r}", "Write each as https://host.")

# -- the house --------------------------------------------------------------------------------

INSTALLED_APPS = [
    "webapp.admin_config.ReelgraphAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "axes",
    "corsheaders",
    "csp",
    "django_htmx",
    "django_tasks",
    "django_tasks_db",
    "import_export",
    "ninja",  # for the static files of its documentation page
    "movie.catalogue",
    "movie.events",
    "movie.training",
    "movie.experiments",
    "movie.programmes",
    "movie.operations",
    "movie.papers",
    "movie.api",
    "movie.pages",
]

MIDDLEWARE = [
    "movie.operations.probes.ProbeMiddleware",  # answers probes itself: no session, no redirect, any host
    "movie.telemetry.requests.RequestLogMiddleware",
    "movie.api.middleware.ApiMiddleware",  # answers the API itself: what follows is for pages alone
    "movie.core.pictures.DrawingHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",  # of the API's documentation
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "movie.core.compression.PageCompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "movie.core.request_limits.RequestLimitsMiddleware",  # before the next, which reads forms
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "movie.visitors.visitor.VisitorMiddleware",
    "axes.middleware.AxesMiddleware",
    "movie.core.admin_requests.AdminParametersMiddleware",
]

ROOT_URLCONF = "webapp.urls"
WSGI_APPLICATION = "webapp.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FILES_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "movie.pages.templatetags.reelgraph",
                "movie.pages.templatetags.frame",
            ],
        },
    },
]

# -- database, cache --------------------------------------------------------------------------

DATABASES = databases(environment, DATA_DIR)
if "replica" in DATABASES:
    DATABASE_ROUTERS = ["movie.core.replicas.ReplicaRouter"]
    MIDDLEWARE.insert(0, "movie.core.replicas.ReplicaMiddleware")

REDIS_URL = environment.parsed(
    "REDIS_URL", "", environment.redis, "Write redis://host:6379/0, or rediss:// with TLS."
)
CACHES = {
    "default": {
        "BACKEND": "movie.core.caching.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
    }
    if REDIS_URL
    else {"BACKEND": "movie.core.caching.JSONLocMemCache", "OPTIONS": {"MAX_ENTRIES": 20000}}
}

# -- click archive, stream ----------------------------------------------------------------------

CLICK_ARCHIVE = {"BACKEND": "movie.events.archive.none.NoArchive", "OPTIONS": {}}
DYNAMODB_TABLE = environment.text("DYNAMODB_TABLE")
_DYNAMODB = {
    "region": environment.text("DYNAMODB_REGION"),
    "endpoint_url": environment.text("DYNAMODB_ENDPOINT_URL"),
}
if DYNAMODB_TABLE:
    CLICK_ARCHIVE = {
        "BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive",
        "OPTIONS": {"table": DYNAMODB_TABLE, **_DYNAMODB},
    }
    if not _DYNAMODB["region"]:
        environment.refuse("DYNAMODB_REGION", "is not set", "Name the region of DYNAMODB_TABLE.")
    if urlsplit(_DYNAMODB["endpoint_url"]).scheme not in ("", "http", "https"):
        environment.refuse("DYNAMODB_ENDPOINT_URL", "is no http address", "Leave it empty for AWS.")
elif any(_DYNAMODB.values()):
    environment.refuse("DYNAMODB_TABLE", "is not set", "Name the table, or unset the other DYNAMODB_ ones.")

# The consumer groups: name -> dotted path. Each lives with what it writes.
EVENT_HANDLERS = {
    "popularity": "movie.events.stream.handlers.Popularity",
    "training-feed": "movie.training.training_feed.TrainingFeed",
    "experiments": "movie.experiments.totals.Experiments",
}
EVENT_STREAM = {"BACKEND": "movie.events.stream.in_process.InProcessEventStream", "OPTIONS": {}}
KAFKA_BOOTSTRAP_SERVERS = environment.words("KAFKA_BOOTSTRAP_SERVERS")
KAFKA_TOPIC = environment.text("KAFKA_TOPIC", "movie.interactions")
KAFKA_RETENTION_HOURS = environment.number("KAFKA_RETENTION_HOURS", 14 * 24, least=1, most=15 * 24)
_KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_KAFKA_MECHANISMS = ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM")
_KAFKA = {
    "security_protocol": environment.text("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", choices=_KAFKA_PROTOCOLS),
    "ssl_cafile": environment.file("KAFKA_SSL_CAFILE"),
    "ssl_certfile": environment.file("KAFKA_SSL_CERTFILE"),
    "ssl_keyfile": environment.file("KAFKA_SSL_KEYFILE"),
    "sasl_mechanism": environment.text("KAFKA_SASL_MECHANISM", choices=_KAFKA_MECHANISMS),
    "sasl_plain_username": environment.text("KAFKA_SASL_USERNAME"),
    "sasl_plain_password": environment.text("KAFKA_SASL_PASSWORD"),
    "oauth_token_url": environment.text("KAFKA_OAUTH_TOKEN_URL"),
    "oauth_scope": environment.text("KAFKA_OAUTH_SCOPE"),
}
if KAFKA_BOOTSTRAP_SERVERS:
    EVENT_STREAM = {
        "BACKEND": "movie.events.stream.kafka.KafkaEventStream",
        "OPTIONS": {
            "topic": KAFKA_TOPIC,
            "bootstrap_servers": tuple(KAFKA_BOOTSTRAP_SERVERS),
            **{name: value for name, value in _KAFKA.items() if value},
        },
    }
refuse_wrong_kafka(environment, KAFKA_BOOTSTRAP_SERVERS, _KAFKA)
# Delivered rows stay in the database for so long: repeats of a request are recognised meanwhile.
OUTBOX_KEEP_MINUTES = environment.number("OUTBOX_KEEP_MINUTES", 24 * 60, least=1)
FEED_DIR = Path(environment.text("FEED_DIR", str(DATA_DIR / "feed")))

# -- recommendations --------------------------------------------------------------------------

PREPARE_MODEL = "movie.recommendations.new_films.prepare"  # called with each version before it serves

MODEL_DIR = Path(environment.text("MODEL_DIR", str(DATA_DIR / "models")))
# Where push_models writes models and pull_models reads them, for machines that share no MODEL_DIR.
MODEL_STORE_URL = environment.text("MODEL_STORE_URL")
MODEL_STORE_REGION = environment.text("MODEL_STORE_REGION")
MODEL_STORE_ENDPOINT_URL = environment.text("MODEL_STORE_ENDPOINT_URL")
if MODEL_STORE_URL and not is_address(MODEL_STORE_URL):
    environment.refuse("MODEL_STORE_URL", "is no address of models", f"Write {ADDRESSES}.")
if MODEL_STORE_ENDPOINT_URL and not (
    is_address(MODEL_STORE_ENDPOINT_URL, schemes=("http", "https")) and "@" not in MODEL_STORE_ENDPOINT_URL
):
    environment.refuse("MODEL_STORE_ENDPOINT_URL", "is no http address", "Leave it empty for Amazon S3.")
if not MODEL_STORE_URL and (MODEL_STORE_REGION or MODEL_STORE_ENDPOINT_URL):
    environment.refuse("MODEL_STORE_URL", "is not set", "Name it, or unset the other MODEL_STORE_ ones.")
TUNING_DIR = DATA_DIR / "tuning"  # what manage.py tune has tried
KNOWLEDGE_GRAPH_DIR = Path(environment.text("KNOWLEDGE_GRAPH_DIR", str(DATA_DIR / "knowledge_graph")))
# The first of these that has a trained version and can answer is the default; the next ones are fallbacks.
DEFAULT_MODELS = environment.words(
    "DEFAULT_MODELS", ("for_you", "next_item", "sasrec", "linear_sequence", "neighbours", "popular")
)
HISTORY_LIMIT = environment.number("HISTORY_LIMIT", 1000, least=10)
COUNTING = environment.parsed(
    "EVENT_COUNTING",
    "click=0.5",
    Counting.parse,
    "Write numbers from 0 to 1, such as click=0.5,watch=0.5,unfinished=0,watchlist=0.5,least_progress=0.7.",
)
DEVICE = environment.text("DEVICE", "auto", choices=("auto", "cpu", "cuda"))
# Which of how many processes of a training this is: torchrun says it. `train` alone looks at it.
TRAINING_RANK, TRAINING_PROCESSES = environment.rank_and_size()

# -- limits: those of the API and of sign-ins stand below -------------------------------------

WRITE_RATE_LIMIT = environment.number("WRITE_RATE_LIMIT", 120, least=1)  # writes a minute and visitor
PAGE_RATE_LIMIT = environment.number("PAGE_RATE_LIMIT", 120, least=1)  # costly pages a minute and visitor
IMPORT_ROW_LIMIT = environment.number("IMPORT_ROW_LIMIT", 20_000, least=1)  # rows an hour and visitor
COSTLY_CALLS = environment.number("COSTLY_CALLS", 2, least=1)  # of slow models and large batches, at once
WEB_THREADS = environment.number("WEB_THREADS", 16, least=1)  # of a web process, for requests
BODY_SECONDS = environment.number("BODY_SECONDS", 20, least=1)  # within which a body has to arrive
ADMIN_UPLOAD_MB = environment.number("ADMIN_UPLOAD_MB", 32, least=1)  # of one file that staff import

# -- the API ----------------------------------------------------------------------------------

API_RATE_LIMIT = environment.number("API_RATE_LIMIT", 6000, least=1)  # requests a minute and client
API_ANONYMOUS_RATE_LIMIT = environment.number("API_ANONYMOUS_RATE_LIMIT", 120)  # a minute and address
API_ANONYMOUS_BATCH = environment.number("API_ANONYMOUS_BATCH", 20, least=1)  # entries of one call
API_CORS_ORIGINS = environment.words("API_CORS_ORIGINS")  # whose pages may call it in a browser
for origin in API_CORS_ORIGINS:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
        environment.refuse("API_CORS_ORIGINS", f"holds {origin!r}", "Write each as https://host.")
CORS_ALLOWED_ORIGINS = API_CORS_ORIGINS
CORS_URLS_REGEX = r"^/api/"
CORS_EXPOSE_HEADERS = ["Retry-After", "X-Request-ID"]

# Imports and trainings that staff start in the admin: manage.py db_worker does them.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
JOB_DIR = Path(environment.text("JOB_DIR", str(DATA_DIR / "jobs")))

# Reviews of papers as files, with their figures: see docs/paper-reviews.md.
PAPERS_DIR = Path(environment.text("PAPERS_DIR", str(BASE_DIR / "movie" / "papers" / "content")))

POSTER_BASE_URL = environment.text("POSTER_BASE_URL")
if POSTER_BASE_URL and urlsplit(POSTER_BASE_URL).scheme != "https":
    environment.refuse("POSTER_BASE_URL", "is not an https address", "Leave it empty for drawn posters.")
    POSTER_BASE_URL = ""

# Posters, synopses, billing, running times, titles and trailers of TMDB: manage.py import_tmdb.
TMDB_API_KEY = environment.text("TMDB_API_KEY")
TMDB_BASE_URL = environment.text("TMDB_BASE_URL", "https://api.themoviedb.org/3")
if urlsplit(TMDB_BASE_URL).scheme not in ("http", "https") or not urlsplit(TMDB_BASE_URL).netloc:
    environment.refuse("TMDB_BASE_URL", "is no http address", "Leave it empty for TMDB's own.")
PHOTOGRAPH_DIR = Path(environment.text("PHOTOGRAPH_DIR", str(DATA_DIR / "photographs")))

# -- accounts ---------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses those who tried too often
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "movie.visitors.passwords.BreachedPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "pages:home"
LOGOUT_REDIRECT_URL = "pages:home"
ACCOUNT_ADAPTER = "movie.visitors.account_adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_CHANGE_EMAIL = True  # an account has one address; a new one counts once it is confirmed
# Whoever signs up with a known address gets an account that cannot confirm it, and learns nothing.
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # the password again before the address changes
ACCOUNT_EMAIL_NOTIFICATIONS = True  # a mail after every change of address, password or second factor
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Reelgraph] "
# Wrong passwords are counted below. The key of login_failed is here the account whose password was right
# and whose code of a second factor was wrong.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "10/m/ip,5/5m/key",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/m/key",
}

# Second factors: an authenticator app, security keys, and recovery codes for when both are lost.
MFA_ADAPTER = "movie.visitors.account_adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Reelgraph"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an unconfirmed address keeps nobody else from it; see above
# Staff without a second factor may not act as staff where one is required. Empty: `check --deploy` asks.
STAFF_SECOND_FACTOR = environment.text("STAFF_SECOND_FACTOR", choices=("", "required", "optional"))

# Guessing passwords, counted in the database for all processes: see movie/visitors/sign_in_limits.py.
AXES_HANDLER = "movie.visitors.sign_in_limits.SignInLimits"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10  # failures of one address with one account, ...
AXES_COOLOFF_TIME = timedelta(minutes=15)  # ... after which both have to wait
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "movie.visitors.networks.client_address"
AXES_USERNAME_CALLABLE = "movie.visitors.sign_in_limits.account_of"
AXES_LOCKOUT_CALLABLE = "movie.visitors.sign_in_limits.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # who signed in when is nobody's business
AXES_SENSITIVE_PARAMETERS = ["username", "login", "ip_address", "csrfmiddlewaretoken"]

EMAIL_CONFIG = environment.parsed(
    "EMAIL_URL",
    "consolemail://",
    environment.email,
    "Write consolemail:// or smtp+tls://user:password@host:587.",
)
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_HOST = EMAIL_CONFIG.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = EMAIL_CONFIG.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = EMAIL_CONFIG.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_CONFIG.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10  # seconds: a page waits no longer for a mail server
DEFAULT_FROM_EMAIL = environment.text("DEFAULT_FROM_EMAIL", "reelgraph@localhost")

# -- languages --------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [FILES_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600  # seconds; the default forgets the choice with the window
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_I18N = True
USE_TZ = True
TIME_ZONE = environment.text("TIME_ZONE", "UTC")

# -- static files -----------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = Path(environment.text("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [FILES_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# -- security ---------------------------------------------------------------------------------

SECURE = environment.flag("SECURE", default=not DEBUG)  # false only behind plain http, as in a demo
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = SECURE
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE
SECURE_SSL_REDIRECT = environment.flag("SECURE_SSL_REDIRECT", default=SECURE)
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # probes come over plain http, past the proxy
SECURE_HSTS_SECONDS = environment.number("SECURE_HSTS_SECONDS", 31536000 if SECURE else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
# Django looks for a setting that is not there anew at every request, so these are.
ALLAUTH_TRUSTED_PROXY_COUNT, ALLAUTH_TRUSTED_CLIENT_IP_HEADER = 0, None
if environment.flag("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # rate limits count the visitor's address, not the proxy's
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

_POSTER_ORIGIN = [f"https://{urlsplit(POSTER_BASE_URL).netloc}"] if POSTER_BASE_URL else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", *_POSTER_ORIGIN],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

PRIVACY_CONTACT = environment.text("PRIVACY_CONTACT")  # whom to ask about stored data, on the privacy page
SECURITY_CONTACT = environment.text("SECURITY_CONTACT")  # for /.well-known/security.txt
if SECURITY_CONTACT and urlsplit(SECURITY_CONTACT).scheme not in ("https", "mailto"):
    environment.refuse("SECURITY_CONTACT", "is no address", "Write mailto:name@host or https://host/page.")

# -- logging ----------------------------------------------------------------------------------

LOG_LEVEL = environment.text("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
_FORMATS = ("json", "readable")
LOG_FORMAT = environment.text(
    "LOG_FORMAT", "readable" if DEBUG or sys.stderr.isatty() else "json", choices=_FORMATS
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "movie.telemetry.logging.formatter", "style": LOG_FORMAT}},
    "filters": {"repeats": {"()": "movie.telemetry.logging.RepeatFilter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "client": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # No mail with a whole request in it, and no second line for what the line of the request says.
        "django": {"handlers": [], "level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": "CRITICAL"},
        # The client tries for ever and writes each try; our own line says the cause once.
        "kafka": {"handlers": ["client"], "level": "WARNING", "propagate": False},
        **{
            name: {"level": LOG_LEVEL}
            for name in ("movie", "evaluation", "predictors", "pytorch_models", "webapp")
        },
    },
}

# -- health, metrics ---------------------------------------------------------------------------

# /health/ready says "degraded" when deliveries are later or more than this.
HEALTH_OUTBOX_SECONDS = environment.number("HEALTH_OUTBOX_SECONDS", 300, least=1)
HEALTH_OUTBOX_ROWS = environment.number("HEALTH_OUTBOX_ROWS", 100_000, least=1)
SHARED_ARRAYS_DIR = DATA_DIR / "arrays"  # what web workers know of the catalogue, once for all of them
METRICS_DIR = Path(environment.text("METRICS_DIR", str(DATA_DIR / "metrics")))
METRICS_SERVER = "movie.operations.metrics_server.metrics_server"  # of commands, with --metrics-port
METRICS_TOKEN = environment.text("METRICS_TOKEN")
METRICS_ALLOWED_NETWORKS = environment.networks("METRICS_ALLOWED_NETWORKS", ("127.0.0.0/8", "::1"))

SETTING_ERRORS = environment.errors
