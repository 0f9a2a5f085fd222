"""Every setting of Parley, read from the environment or from `.env`; `.env.example` explains each one."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.environment import Env

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()
Env.read_env(env.str("ENV_FILE", str(BASE_DIR / ".env")))

# What runs where -----------------------------------------------------------------------------------------
PORT = env.int("PORT", 8000)
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / ".data"))).expanduser().resolve()
PUBLIC_URL = env.str("PUBLIC_URL", f"http://localhost:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
_tls = _public.scheme == "https"

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[_public.hostname or "localhost", "localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[f"{_public.scheme}://{_public.netloc}"])

ASGI_APPLICATION = "config.asgi.application"
ROOT_URLCONF = "config.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "core",
    "retrieval",
    "tools",
    "chat",
    "channels",
    "csp",
    "allauth",
    "allauth.account",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

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
                "csp.context_processors.nonce",
            ],
        },
    },
]

# PostgreSQL: the only truth --------------------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"] |= {
    "ENGINE": "django.db.backends.postgresql",
    # a Unix socket's folder is written percent-encoded in place of the host
    "HOST": unquote(DATABASES["default"]["HOST"]),
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        **DATABASES["default"].get("OPTIONS", {}),
        "pool": {
            "min_size": 1,
            "max_size": env.int("DATABASE_POOL_SIZE", 20),
            "timeout": env.int("DATABASE_POOL_TIMEOUT", 10),
        },
        "connect_timeout": 5,
        # only `core.statements` prepares any; None where a proxy between us and the server cannot keep them apart
        "prepare_threshold": 0 if env.bool("DATABASE_PREPARE", True) else None,
        # a lost client or a stuck statement must not hold locks for ever
        "options": "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=120000"
        # what is prepared finds its rows by keys: planned once, not anew for the values of the first five uses
        " -c plan_cache_mode=force_generic_plan",
    },
}
# The role that owns the tables: migrations and index builds. Empty where the application's own role does both.
DATABASE_OWNER_URL = env.str("DATABASE_OWNER_URL", "")
# Threads of one process that reach the database on behalf of asynchronous code (see `core.bridge`).
DATABASE_THREADS = env.int("DATABASE_THREADS", 8)
if DATABASES["default"]["OPTIONS"]["pool"]["max_size"] < DATABASE_THREADS + 2:
    # each of the threads keeps a connection, and pages need some too
    raise ImproperlyConfigured("DATABASE_POOL_SIZE has to be larger than DATABASE_THREADS by two at least.")

# Redis: broker, channel layer and the log of running turns may be three servers --------------------------------
REDIS_URL = env.str("REDIS_URL", "redis://localhost:6379/0")
REDIS_LOG_URL = env.str("REDIS_LOG_URL", REDIS_URL)
REDIS_CHANNEL_URL = env.str("REDIS_CHANNEL_URL", REDIS_URL)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chat.realtime.layer.HintLayer",
        "CONFIG": {"hosts": [REDIS_CHANNEL_URL], "prefix": env.str("REDIS_PREFIX", "parley")},
    }
}
REDIS_PREFIX = env.str("REDIS_PREFIX", "parley")

# Celery carries "look for work"; the work itself is rows --------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "global_keyprefix": f"{REDIS_PREFIX}:celery:",
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    # a broker that is away must not hold up the request that asks for work: the sweep asks again
    "max_retries": 0,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "look-for-work": {"task": "core.tasks.relay", "schedule": 15.0, "options": {"expires": 15}},
    "sweep-stores": {"task": "retrieval.tasks.sweep_stores", "schedule": 600.0, "options": {"expires": 600}},
    "sweep-storage": {"task": "retrieval.tasks.sweep_storage", "schedule": 3600.0, "options": {"expires": 3600}},
}

# People --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "core.User"
# Whom the first start makes an administrator; signs in with the link that it prints.
ADMIN_EMAIL = env.str("ADMIN_EMAIL", "admin@localhost")
# addresses are unique by a constraint on their lower-case form, which the check does not see
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = [
    "core.accounts.backends.SignInLinkBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_ADAPTER = "core.accounts.adapters.AccountAdapter"
ACCOUNT_PREVENT_ENUMERATION = True
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", f"parley@{_public.hostname}")

# What the browser may do ---------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _tls
CSRF_COOKIE_SECURE = _tls
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", _tls)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31_536_000 if _tls else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = _tls
SECURE_HSTS_PRELOAD = _tls
# whoever probes the process speaks to it directly
SECURE_REDIRECT_EXEMPT = [r"^(healthz|livez)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", _tls) else None

# Files ---------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static")))
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(DATA_DIR / "files"), "base_url": None},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o600
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000

# Language and time -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# The servers that generate and embed. Nothing set: answers are quoted passages, plainly labelled. ------------------
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", "")
OPENAI_API_KEY = env.str("OPENAI_API_KEY", "")
CHAT_BASE_URL = env.str("CHAT_BASE_URL", OPENAI_BASE_URL)
# a key goes to the server that it was given for, and to no other
CHAT_API_KEY = env.str("CHAT_API_KEY", OPENAI_API_KEY if CHAT_BASE_URL == OPENAI_BASE_URL else "")
CHAT_MODEL = env.str("CHAT_MODEL", "gpt-5-mini")
CHAT_CONTEXT_WINDOW = env.int("CHAT_CONTEXT_WINDOW", 128_000)
EMBEDDING_BASE_URL = env.str("EMBEDDING_BASE_URL", OPENAI_BASE_URL)
EMBEDDING_API_KEY = env.str("EMBEDDING_API_KEY", OPENAI_API_KEY if EMBEDDING_BASE_URL == OPENAI_BASE_URL else "")
EMBEDDING_MODEL = env.str("EMBEDDING_MODEL", "text-embedding-3-small")

# What models can ask for: paths to values of `tools.base.Tool`. An assistant's version says which of them it has.
TOOLS = env.list("TOOLS", default=["tools.builtin.clock.CURRENT_TIME", "tools.builtin.search.FILE_SEARCH"])

# Limits --------------------------------------------------------------------------------------------------------
QUOTA_FILES = env.int("QUOTA_FILES", 0)
QUOTA_BYTES = env.int("QUOTA_BYTES", 0)
QUOTA_TOKENS = env.int("QUOTA_TOKENS", 0)
CONVERSATION_FILES_DAYS = env.int("CONVERSATION_FILES_DAYS", 0)
EXPIRED_STORES_DAYS = env.int("EXPIRED_STORES_DAYS", 7)
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 64 * 1024 * 1024)
# Larger files come in parts of so many bytes, and an upload that stands still is kept for so many hours.
UPLOAD_PART_BYTES = env.int("UPLOAD_PART_BYTES", 5 * 1024 * 1024)
UPLOAD_KEEP_HOURS = env.int("UPLOAD_KEEP_HOURS", 24)
UPLOADS_MAX_UNFINISHED = env.int("UPLOADS_MAX_UNFINISHED", 100)
# Files that a page takes at once, and files in one archive.
UPLOAD_MAX_FILES = env.int("UPLOAD_MAX_FILES", 500)
# Bytes that the files of one archive may have unpacked.
ARCHIVE_MAX_BYTES = env.int("ARCHIVE_MAX_BYTES", 512 * 1024 * 1024)
MESSAGE_MAX_CHARS = env.int("MESSAGE_MAX_CHARS", 50_000)
MESSAGE_MAX_FILES = env.int("MESSAGE_MAX_FILES", 20)
TURN_MAX_SECONDS = env.int("TURN_MAX_SECONDS", 600)
TURN_MAX_STEPS = env.int("TURN_MAX_STEPS", 12)
TURN_MAX_TOKENS = env.int("TURN_MAX_TOKENS", 500_000)
MODEL_TITLES = env.bool("MODEL_TITLES", True)
# Calls of one step that are run, and tools that one process runs at a time.
STEP_MAX_CALLS = env.int("STEP_MAX_CALLS", 16)
TOOLS_MAX_RUNNING = env.int("TOOLS_MAX_RUNNING", 64)
FILES_WAIT_SECONDS = env.int("FILES_WAIT_SECONDS", 300)
EXTRACTION_MAX_SECONDS = env.int("EXTRACTION_MAX_SECONDS", 120)
EXTRACTION_MAX_MEMORY = env.int("EXTRACTION_MAX_MEMORY", 1024 * 1024 * 1024)
EXTRACTION_MAX_CHARS = env.int("EXTRACTION_MAX_CHARS", 20_000_000)
# Reading the pictures of one document, on top; the languages are tesseract's, joined by +, "" for all that are there.
OCR_MAX_SECONDS = env.int("OCR_MAX_SECONDS", 600)
OCR_LANGUAGES = env.str("OCR_LANGUAGES", "")
# Pages of PDFs that one process draws at a time for those who look at them, and how many more may wait for that.
PAGES_DRAWN_AT_ONCE = env.int("PAGES_DRAWN_AT_ONCE", 2)
PAGES_WAITING = env.int("PAGES_WAITING", 64)

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "httpx2": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
