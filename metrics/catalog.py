"""All metrics, by what they tell of. ``docs/operations.md`` says what to do about each.

Counters of jobs and credits are counted where they happen, after the commit: to sum the ledger
again and again would cost more than it tells. What only the stores know (ages, rows that wait) is
read by one task of maintenance every fifteen seconds.
"""

from __future__ import annotations

from metrics.metric import Counter, Gauge, Histogram

_HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STORE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# The targets of the SLOs are among them: 60 s, 300 s, 3600 s.
_WAIT_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_RUN_S = (0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600)
_DELIVERY_S = (1, 2, 5, 10, 30, 60, 300, 3600)

# The API, counted by each ingress replica.
HTTP_REQUESTS = Counter(
    "atelier_http_requests_total",
    "Answers by method, route template and status.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Histogram(
    "atelier_http_request_seconds",
    "Time until the answer ended; streams are left out.",
    ("method", "route", "status_class"),
    _HTTP_S,
)
RATE_LIMITED = Counter(
    "atelier_rate_limited_total", "Requests and messages refused by a rate.", ("rate_class",)
)
EVENT_STREAMS = Gauge("atelier_event_streams", "Event streams and waiting requests open now.")
JOBS_SUBMITTED = Counter("atelier_jobs_submitted_total", "Jobs accepted.", ("generator",))
PUSH_FAILURES = Counter(
    "atelier_queue_push_failures_total",
    "Jobs accepted whose push was left to maintenance.",
    ("generator",),
)
RESULT_CACHE = Counter(
    "atelier_result_cache_total",
    "Jobs with a seed that were looked for among earlier results, by what was found.",
    ("generator", "found"),
)
WELCOME_WITHHELD = Counter(
    "atelier_welcome_credits_withheld_total",
    "Accounts made without welcome credits, since those of the day were used up.",
)
QUEUE_JOBS = Gauge(
    "atelier_queue_jobs",
    "Messages in a queue by state; only at the /metrics of an ingress replica.",
    ("generator", "state"),
)

# Jobs, counted by whoever ends them.
JOBS_ENDED = Counter(
    "atelier_jobs_ended_total",
    "Jobs that ended; fault says whose a failure was.",
    ("generator", "outcome", "fault"),
)
JOB_WAIT = Histogram(
    "atelier_job_wait_seconds",
    "From submit to the start of the first attempt, of jobs that started.",
    ("generator", "priority"),
    _WAIT_S,
)
JOB_RUN = Histogram(
    "atelier_job_run_seconds",
    "From the start of the first attempt to the end.",
    ("generator", "outcome"),
    _RUN_S,
)
JOB_TOTAL = Histogram(
    "atelier_job_total_seconds", "From submit to the end.", ("generator", "outcome"), _RUN_S
)
OLDEST_WAITING = Gauge(
    "atelier_job_oldest_waiting_seconds",
    "Age of the oldest job that waits for a replica; 0 if none does.",
    ("generator",),
)
JOBS_WAITING = Gauge(
    "atelier_jobs_waiting", "Jobs that wait for a replica, by Postgres.", ("generator",)
)
JOBS_DEFERRED = Gauge(
    "atelier_jobs_deferred",
    "Jobs set aside because their users run as many as they may.",
    ("generator",),
)
JOBS_RUNNING = Gauge("atelier_jobs_running", "Jobs that run, by Postgres.", ("generator",))
DEAD_LETTERS = Gauge(
    "atelier_dead_letters_open", "Dead letters that nobody has resolved.", ("generator",)
)
BATCHES_OPEN = Gauge("atelier_batches_open", "Batches with jobs that have not ended.")
BATCH_OLDEST = Gauge("atelier_batch_oldest_seconds", "Age of the oldest such batch; 0 without one.")

# Autoscaling, by its policy.
QUEUE_WAITING = Gauge("atelier_queue_waiting", "Jobs that wait in the queue.", ("generator",))
QUEUE_ACTIVE = Gauge("atelier_queue_active", "Jobs that a replica holds.", ("generator",))
JOB_SECONDS = Gauge("atelier_job_seconds", "What a job takes, a moving average.", ("generator",))
REPLICAS_RUNNING = Gauge(
    "atelier_replicas_running", "Replicas that run; gpu_manager has them too.", ("generator",)
)
REPLICAS_ASKED = Gauge(
    "atelier_replicas_asked", "Replicas the autoscaling policy asks for.", ("generator",)
)
GPUS = Gauge("atelier_gpus", "GPUs that replicas may use.")
GPUS_ASKED = Gauge("atelier_gpus_asked", "GPUs that Ray's autoscaler is asked for.")

# Models and devices, by the GPU managers. Use, memory and heat of cards are Ray's own metrics and
# those of NVIDIA's DCGM.
_DEVICE = ("generator", "replica", "device")
MEMORY_ALLOCATED = Gauge(
    "atelier_memory_allocated_bytes", "In use by tensors (on a CPU: by the process).", _DEVICE
)
MEMORY_RESERVED = Gauge("atelier_memory_reserved_bytes", "Held by the allocator.", _DEVICE)
MEMORY_PEAK = Gauge(
    "atelier_memory_peak_bytes", "Highest memory in use since the replica started.", _DEVICE
)
MEMORY_BUDGET = Gauge("atelier_memory_budget_bytes", "What the models may use.", _DEVICE)
MEMORY_PLAN = Gauge(
    "atelier_memory_plan",
    "1 for the memory plan a loaded model is held under.",
    ("generator", "replica", "model", "plan"),
)
MODEL_LOADS = Counter("atelier_model_loads_total", "Models loaded.", _DEVICE)
MODEL_LOAD_SECONDS = Counter(
    "atelier_model_load_seconds_total", "Time spent on loading models.", _DEVICE
)
MODEL_EVICTIONS = Counter("atelier_model_evictions_total", "Models evicted to make room.", _DEVICE)
MODEL_OOMS = Counter("atelier_model_ooms_total", "Times a job ran out of memory.", _DEVICE)
MODEL_PLAN_CHANGES = Counter(
    "atelier_model_plan_changes_total", "Times a model's memory plan was changed.", _DEVICE
)
OPERATION_SECONDS = Histogram(
    "atelier_gpu_operation_seconds",
    "From the start of an operation of a GPU manager to its end; operations run side by side.",
    ("replica", "operation"),
    _RUN_S,
)
ENGINE_BATCHES = Counter(
    "atelier_engine_batches_total",
    "Denoising steps that held pictures of the generator.",
    ("generator",),
)
ENGINE_ROWS = Counter(
    "atelier_engine_rows_total", "Pictures of the generator in denoising steps.", ("generator",)
)
ENGINE_BATCH_ROWS = Counter(
    "atelier_engine_batch_rows_total",
    "Pictures of any generator in the steps of this one.",
    ("generator",),
)
ENGINE_SHARED_BATCHES = Counter(
    "atelier_engine_shared_batches_total",
    "Those steps that held pictures of another generator, too.",
    ("generator",),
)

# Money.
CREDITS = Counter(
    "atelier_credits_total", "Credits moved in the ledger, by movement.", ("movement",)
)
CREDITS_HELD = Gauge("atelier_credits_held", "Credits held by jobs that have not ended.")
STUCK_HOLDS = Gauge(
    "atelier_stuck_holds", "Jobs that hold credits and are older than any job may become."
)
LEDGER_FINDINGS = Gauge(
    "atelier_ledger_findings", "Rows that break a rule of the ledger.", ("check",)
)
LEDGER_CHECKED = Gauge(
    "atelier_ledger_checked_timestamp_seconds", "When all rules were last checked."
)
STRIPE_WAITING = Gauge("atelier_stripe_events_waiting", "Stripe's events not yet processed.")
STRIPE_LAG = Gauge("atelier_stripe_lag_seconds", "Age of the oldest such event; 0 without one.")
STRIPE_UNMATCHED = Gauge(
    "atelier_stripe_unmatched",
    "Payments and reversals of three days that Stripe and the ledger do not agree on, and events"
    " given up.",
)

# Deliveries.
OUTBOX_WAITING = Gauge("atelier_outbox_waiting", "Rows not yet delivered.", ("topic",))
OUTBOX_OLDEST = Gauge(
    "atelier_outbox_oldest_seconds", "Age of the oldest such row; 0 without one.", ("topic",)
)
OUTBOX_LATE = Gauge(
    "atelier_outbox_late_seconds",
    "For how long the row that is due for longest is due; 0 if none is.",
    ("topic",),
)
DELIVERIES = Counter(
    "atelier_deliveries_total", "Attempts to deliver webhooks and mails.", ("topic", "delivery")
)
DELIVERY_DELAY = Histogram(
    "atelier_delivery_delay_seconds",
    "From the event to the end of the first attempt to deliver it.",
    ("topic",),
    _DELIVERY_S,
)

# Stores, backups, maintenance.
STORE_UP = Gauge("atelier_store_up", "1 if the store answered the last probe.", ("store",))
STORE_SECONDS = Histogram(
    "atelier_store_probe_seconds", "What a probe took that was answered.", ("store",), _STORE_S
)
STORE_ERRORS = Counter("atelier_store_errors_total", "Probes that were not answered.", ("store",))
DISK_FREE = Gauge("atelier_disk_free_bytes", "Free on the disk of a folder.", ("folder",))
DISK_SIZE = Gauge("atelier_disk_size_bytes", "Size of the disk of a folder.", ("folder",))
BACKUP_AGE = Gauge(
    "atelier_backup_age_seconds",
    "Time since the last backup of a kind, or restore drill, that went well.",
    ("backup",),
)
TASK_ROUNDS = Counter(
    "atelier_maintenance_rounds_total", "Rounds of the tasks of maintenance.", ("task", "round")
)
MEASURED = Gauge(
    "atelier_measured_timestamp_seconds", "When maintenance last read the values of this page."
)
