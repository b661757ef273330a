/** The new address, and the password that is set. */
export interface AccountChangeBody {
    email: string;
    current_password: string;
}
/** An account, its plan and its own limits. */
export interface AccountSummaryView {
    id: string;
    object?: "user";
    email: string;
    role: "user" | "support" | "ops" | "admin";
    state: "active" | "pending" | "disabled" | "deleted" | "erased";
    created_at: string;
    balance: number;
    held: number;
    debt: number;
    plan: string;
    /** This user's own limit; null: the plan's. */
    max_waiting_jobs: number | null;
    /** This user's own limit; null: the plan's. */
    max_running_jobs: number | null;
}
/** An account, its plan, its limits, and what of them is used. */
export interface AccountView {
    id: string;
    object?: "user";
    email: string;
    role: "user" | "support" | "ops" | "admin";
    state: "active" | "pending" | "disabled" | "deleted" | "erased";
    created_at: string;
    balance: number;
    held: number;
    debt: number;
    plan: string;
    /** This user's own limit; null: the plan's. */
    max_waiting_jobs: number | null;
    /** This user's own limit; null: the plan's. */
    max_running_jobs: number | null;
    waiting: Used;
    running: Used;
}
/** A job as staff see it: its course and cost, without input and outputs. */
export interface AdminJobView {
    id: string;
    user_id: string;
    api_key_id: string | null;
    generator: string;
    status: "queued" | "running" | "succeeded" | "failed" | "canceled";
    stage: string;
    progress: number;
    priority: string;
    attempt: number;
    losses: number;
    crashes: number;
    error: Record<string, unknown> | null;
    credits_quoted: number;
    credits_charged: number;
    batch_id: string | null;
    request_id: string | null;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
    /** Since when it waits for the user's limit. */
    deferred_at: string | null;
}
/** Tell ``webhook_url`` when the balance falls below ``threshold``. */
export interface AlertBody {
    threshold: number;
    webhook_url: string;
}
/** Who is told when credits run low; both null: nobody. */
export interface AlertView {
    threshold: number | null;
    webhook_url: string | null;
}
/** The process answers; ``release`` is the application's argument of that name. */
export interface AliveView {
    status?: "ok";
    release: string;
}
/** A key to make. */
export interface ApiKeyBody {
    name: string;
    /** What it may. */
    scopes?: ("jobs:write" | "jobs:read" | "files" | "billing" | "admin")[];
    monthly_cap?: number | null;
    /** A moment in the future; from then on the key is refused. */
    expires_at?: string | null;
}
/** What to change of a key; what is left out stays. A cap of null is none. */
export interface ApiKeyChangeBody {
    name?: string;
    monthly_cap?: number | null;
}
/** A key without the key itself; ``hint`` is its last four characters. */
export interface ApiKeyView {
    id: string;
    object?: "api_key";
    name: string;
    hint: string;
    scopes: string[];
    created_at: string;
    last_used_at: string | null;
    /** From then on it is refused; null: never. */
    expires_at: string | null;
    monthly_cap: number | null;
    spent_this_month?: number;
}
/** The address of the account whose password was forgotten. */
export interface AskResetBody {
    email: string;
}
/** A row of the audit log. */
export interface AuditEntryView {
    id: string;
    /** The id of a user or key, or the name of a command. */
    actor: string;
    action: string;
    /** The id of what was changed, or the name of a queue. */
    subject: string;
    detail: Record<string, unknown>;
    created_at: string;
    /** SHA-256 of the row and of the hash of the row before it. */
    hash: string;
}
/** Credits: quoted at submit and held; charged for the jobs that have ended. */
export interface BatchCostView {
    estimated: number;
    charged: number;
    unit?: "credit";
}
/** How many jobs of the batch there are, by how they ended. */
export interface BatchCountsView {
    total: number;
    unfinished: number;
    succeeded: number;
    failed: number;
    canceled: number;
}
/** Many jobs that were submitted as one; `GET /v1/jobs?batch=` lists them. */
export interface BatchView {
    id: string;
    object?: "batch";
    status: "in_progress" | "canceling" | "completed" | "canceled";
    priority: "high" | "normal" | "low";
    counts: BatchCountsView;
    cost: BatchCostView;
    /** The path of the jobs that ended, as JSON Lines. */
    results: string;
    webhook_url: string | null;
    created_at: string;
    cancel_requested_at: string | null;
    finished_at: string | null;
}
/** The password that is set, and the one to set. */
export interface ChangePasswordBody {
    current_password: string;
    password: string;
}
/** The account as it is now. With ``verification_required`` a mail has gone to the new address, and what it brings is needed before the account has it. */
export interface ChangedAccountView {
    user: UserView;
    verification_required: boolean;
}
/** A pack or a plan, and where to go afterwards; ``{CHECKOUT_SESSION_ID}`` is filled in. */
export interface CheckoutBody {
    pack?: string | null;
    plan?: string | null;
    success_url?: string | null;
    cancel_url?: string | null;
}
/** Send the customer to ``url``. Credits come when Stripe says that they are paid. */
export interface CheckoutView {
    id: string;
    object?: "checkout";
    url: string;
}
/** When it was said, in which words, that the person shown agrees. */
export interface ConsentView {
    statement: string;
    at: string;
}
/** Credits: quoted at submit and held; charged when it ended (null before). ``breakdown`` is the quote; no later change of prices alters it. */
export interface CostView {
    estimated: number;
    charged: number | null;
    unit?: "credit";
    breakdown: PriceLineView[];
    price_version: string;
}
/** Jobs that ended, and the credits they cost. */
export interface CountsView {
    jobs: number;
    succeeded: number;
    failed: number;
    canceled: number;
    credits: number;
}
/** ``balance`` can be spent; ``held`` is set aside for jobs that have not ended. ``debt`` is owed since money went back whose credits were spent; what comes next pays it. ``expiring`` is part of the balance. */
export interface CreditsView {
    balance: number;
    held: number;
    debt: number;
    expiring: ExpiringView[];
}
/** A job that was given up because the replicas that ran it were lost. */
export interface DeadLetterView {
    id: string;
    job_id: string;
    user_id: string;
    generator: string;
    /** `worker_lost`: its replicas went away three times. `quarantined`: it ended the process of its replica twice, the second time alone. */
    reason: string;
    /** The last one that held it, as `actor@node`. */
    replica: string | null;
    attempts: number;
    crashes: number;
    /** What the job was asked; empty once it was erased, null without the permission `inputs.read`. */
    input: Record<string, unknown> | null;
    created_at: string;
    /** `retried`, `dropped`, or null while it is open. */
    resolution: string | null;
    resolved_at: string | null;
    /** The job that the retry made. */
    retried_as: string | null;
}
/** The password that is set: deleting an account cannot be undone. */
export interface DeleteAccountBody {
    password: string;
}
/** An event, and what became of it: kept for a week if delivered, for 30 days if it failed. */
export interface DeliveryView {
    id: number;
    type: string;
    job_id: string | null;
    batch_id: string | null;
    /** `failed`: it was tried for a day, and given up. */
    status: "pending" | "delivered" | "failed";
    attempts: number;
    /** What came of the last attempt that failed. */
    error: string | null;
    created_at: string;
    /** Of one that is pending. */
    next_attempt_at: string | null;
    ended_at: string | null;
}
/** ``device_token``, sent with the next log-in, tells this device from strangers who guess. */
export interface DeviceView {
    device_token: string;
}
/** The password that is set. */
export interface EnrolTotpBody {
    password: string;
}
/** Why a job failed; ``retryable`` if the same input may work another time. */
export interface ErrorView {
    code: string;
    title: string;
    detail: string;
    retryable: boolean;
}
/** Credits that are gone at ``expires_at``; jobs spend them before others. */
export interface ExpiringView {
    credits: number;
    expires_at: string;
}
/** An app that shows codes, which has no name, or a passkey; ``id`` is that of ``DELETE /v1/me/passkeys/{passkey_id}``. */
export interface FactorView {
    kind: "totp" | "passkey";
    added_at: string;
    id: string | null;
    name: string | null;
}
/** A stored file; ``url`` is signed and works with plain GET until ``expires_at``. */
export interface FileView {
    id: string;
    object?: "file";
    purpose: "input" | "reference" | "output";
    name: string;
    content_type: string;
    bytes: number;
    sha256: string;
    /** The job that made it, or brought it along. */
    job_id: string | null;
    url: string;
    expires_at: string;
    created_at: string;
}
/** A generator. ``queue``, ``replicas`` and ``eta_s`` are null when they cannot be read now. */
export interface GeneratorView {
    name: string;
    title: string;
    description: string;
    /** JSON Schema of a job's `input`; `examples` has a valid one. */
    input_schema: Record<string, unknown>;
    pricing: PricingView;
    queue: QueueView | null;
    replicas: number | null;
    /** About when a job submitted now would be done. */
    eta_s: number | null;
}
/** The memory of one replica at one moment, in bytes; counts are since it started. `card_*` are of its GPU and of all programs on it; null is not known, as on a CPU. */
export interface GpuStatView {
    generator: string;
    replica: string;
    device: string;
    allocated_bytes: number;
    reserved_bytes: number;
    peak_bytes: number;
    /** What its models may use. */
    budget_bytes: number;
    /** The memory plan of each loaded model. */
    plans: Record<string, string>;
    loads: number;
    evictions: number;
    ooms: number;
    /** The share (0 to 1) of the last second in which it computed. */
    card_utilization: number | null;
    card_temperature_celsius: number | null;
    card_used_bytes: number | null;
    card_total_bytes: number | null;
    sampled_at: string;
}
/** ``series`` is null where no `since` was given. */
export interface GpuStatsView {
    newest: GpuStatView[];
    series: GpuStatView[] | null;
}
/** Credits to give; those that expire are spent before others. */
export interface GrantBody {
    amount: number;
    /** The user reads it. */
    reason: string;
    expires_at?: string | null;
}
/** A disturbance, in words that users understand; without ``generator`` it is of all. */
export interface IncidentBody {
    title: string;
    generator?: string | null;
}
/** What is new of it. */
export interface IncidentNoteBody {
    text: string;
}
/** What was told of an incident. */
export interface IncidentNoteView {
    text: string;
    created_at: string;
}
/** A disturbance as users read of it on ``/status``, with its notes, oldest first. */
export interface IncidentView {
    id: string;
    title: string;
    /** Null: of all generators. */
    generator: string | null;
    opened_at: string;
    closed_at: string | null;
    notes: IncidentNoteView[];
}
/** A job. */
export interface JobView {
    id: string;
    object?: "job";
    generator: string;
    status: "queued" | "running" | "succeeded" | "failed" | "canceled";
    /** 0 to 1. */
    progress: number;
    stage: string;
    /** How many jobs are served before it; null when it does not wait or is unknown. */
    queue_position: number | null;
    input: Record<string, unknown>;
    seed: number;
    attempt: number;
    outputs: OutputView[];
    error: ErrorView | null;
    cost: CostView;
    priority: "high" | "normal" | "low";
    batch_id?: string | null;
    /** The job whose outputs these are copies of: it had the same input and seed. */
    cached_from?: string | null;
    /** When it is canceled unless it has ended (`Cancel-After`). */
    cancel_at?: string | null;
    webhook_url: string | null;
    metadata: Record<string, unknown>;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
}
/** What you may have, and have. */
export interface LimitsView {
    plan: string;
    waiting: Used;
    /** Over all generators; what is above waits. */
    running: Used;
    /** Event streams and waiting requests that are open at the replica that answers. */
    streams: Used;
    /** The bytes of your files, those of your jobs included. */
    storage: Used;
    /** Those of the class read. */
    requests_per_minute: number;
    /** By class of request, of all you send. */
    rates: Record<string, RateView>;
}
/** A line of a job's log. */
export interface LogLineView {
    time: string;
    level: "info" | "warning" | "error";
    message: string;
    attempt: number;
}
/** The tokens of a login, and the token of its device. */
export interface LoginView {
    device_token: string;
    access_token: string;
    refresh_token: string;
    token_type?: "bearer";
    expires_in: number;
}
/** A token, as a mail brought it. */
export interface MailedTokenBody {
    token: string;
}
/** How a job is made: stages with seconds, models, seed, and the lines of its log. While it runs, they are what is known so far, and the stage at work has no `seconds` yet. */
export interface MetadataView {
    job_id: string;
    metadata: Record<string, unknown>;
    logs: LogLineView[];
}
/** A key just made. ``key`` is shown this once; a replayed request gets null. */
export interface NewApiKeyView {
    id: string;
    object?: "api_key";
    name: string;
    hint: string;
    scopes: string[];
    created_at: string;
    last_used_at: string | null;
    /** From then on it is refused; null: never. */
    expires_at: string | null;
    monthly_cap: number | null;
    spent_this_month?: number;
    key: string | null;
}
/** ``amount`` is in the currency's smallest unit; null where Stripe works it out. */
export interface OfferView {
    name: string;
    title: string;
    credits: number;
    amount: number | null;
    currency: string;
}
/** A file the job made; ``url`` is signed, works with plain GET until ``expires_at``. */
export interface OutputView {
    name: string;
    kind: string;
    content_type: string;
    bytes: number;
    width: number | null;
    height: number | null;
    duration_s: number | null;
    sha256: string;
    url: string;
    expires_at: string;
}
/** What can be bought. */
export interface PacksView {
    packs: OfferView[];
    plans: PlanView[];
}
export interface Page_AccountSummaryView_ {
    data: AccountSummaryView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_AdminJobView_ {
    data: AdminJobView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_ApiKeyView_ {
    data: ApiKeyView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_AuditEntryView_ {
    data: AuditEntryView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_BatchView_ {
    data: BatchView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_DeadLetterView_ {
    data: DeadLetterView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_DeliveryView_ {
    data: DeliveryView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_FileView_ {
    data: FileView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_IncidentView_ {
    data: IncidentView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_JobView_ {
    data: JobView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_PersonaView_ {
    data: PersonaView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_ReceiptView_ {
    data: ReceiptView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
export interface Page_TransactionView_ {
    data: TransactionView[];
    has_more: boolean;
    /** Pass as `after` to get the next page. */
    next: string | null;
}
/** A part: `POST` a form to ``url``, its ``fields`` first and the bytes last, as ``file``. */
export interface PartView {
    number: number;
    bytes: number;
    arrived: boolean;
    url: string;
    fields: Record<string, string>;
}
/** What the authenticator made, and a name to tell it by. */
export interface PasskeyBody {
    name: string;
    /** As `PublicKeyCredential.toJSON()` returns it. */
    credential: Record<string, unknown>;
}
/** What the authenticator signed. */
export interface PasskeyLoginBody {
    /** As `PublicKeyCredential.toJSON()` returns it. */
    credential: Record<string, unknown>;
}
/** The password that is set: who finds a screen unlocked must not add a passkey. */
export interface PasskeyOptionsBody {
    password: string;
}
/** ``public_key`` is for ``parseCreationOptionsFromJSON`` or ``parseRequestOptionsFromJSON`` of the browser. It works once, for five minutes. */
export interface PasskeyOptionsView {
    public_key: Record<string, unknown>;
}
/** A passkey; the key itself never leaves the authenticator. */
export interface PasskeyView {
    id: string;
    object?: "passkey";
    name: string;
    created_at: string;
    last_used_at: string | null;
}
/** Your passkeys, oldest first, 20 at most. */
export interface PasskeysView {
    data: PasskeyView[];
}
/** Somebody to save. */
export interface PersonaBody {
    name: string;
    /** The person in words, as a prompt would put it. */
    description?: string;
    /** Pictures of that one person, uploaded before. The persona takes over those of purpose `reference` and copies others. */
    file_ids: string[];
    /** true says: The person shown has agreed to pictures and films being made of them. */
    consent: true;
}
/** What to change; what is left out stays. Other pictures need consent anew. */
export interface PersonaChange {
    name?: string | null;
    description?: string | null;
    file_ids?: string[] | null;
    consent?: true | null;
}
/** Somebody saved; named in inputs by ``persona_id``. */
export interface PersonaView {
    id: string;
    object?: "persona";
    name: string;
    description: string;
    images: PictureView[];
    consent: ConsentView;
    created_at: string;
    updated_at: string;
}
/** A picture of a persona; ``url`` is signed and works until ``expires_at``. */
export interface PictureView {
    file_id: string;
    content_type: string;
    bytes: number;
    url: string;
    expires_at: string;
}
/** A plan: its credits come with each payment, its limits hold as long as it lasts. */
export interface PlanView {
    name: string;
    title: string;
    credits: number;
    amount: number | null;
    currency: string;
    interval: string | null;
    max_waiting_jobs: number | null;
    max_running_jobs: number | null;
}
/** Where the customer comes back to. */
export interface PortalBody {
    return_url?: string | null;
}
/** Send the customer there to change plan, card or address, or to cancel. */
export interface PortalView {
    url: string;
}
/** One line of a quote; discounts are below zero. */
export interface PriceLineView {
    item: string;
    quantity: number;
    credits: number;
}
/** Prices are in credits; a quote says what one request costs. ``version`` is kept on jobs. */
export interface PricingView {
    unit?: string;
    version: string;
}
/** A generator's queue. ``waiting``, ``active`` and ``replicas`` are null when they cannot be read now. */
export interface QueueStateView {
    generator: string;
    waiting: number | null;
    active: number | null;
    replicas: number | null;
    /** No replica takes jobs; new ones are accepted and wait. */
    paused: boolean;
    /** New jobs are refused; those that wait are done. */
    draining: boolean;
}
/** Jobs waiting, and jobs being made. */
export interface QueueView {
    waiting: number;
    active: number;
}
/** An input as a job would have it. */
export interface QuoteBody {
    input: Record<string, unknown>;
}
/** What a job with this input would hold, and at most cost. */
export interface QuoteView {
    credits: number;
    breakdown: PriceLineView[];
}
/** How many requests come back in a minute, and how many may be sent at once. */
export interface RateView {
    per_minute: number;
    burst: number;
}
/** Each dependency by name: whether it answers. */
export interface ReadyView {
    ready: boolean;
    checks: Record<string, boolean>;
}
/** An invoice of Stripe's: ``url`` shows it, ``pdf`` is the file. */
export interface ReceiptView {
    id: string;
    object?: "receipt";
    number: string | null;
    status: string;
    total: number;
    currency: string;
    created_at: string;
    url: string | null;
    pdf: string | null;
}
/** For Stripe. */
export interface ReceivedView {
    received?: boolean;
}
/** Codes that stand in for the app, each once. They are shown this once. */
export interface RecoveryCodesView {
    recovery_codes: string[];
}
/** A refresh token, as the last answer gave it. */
export interface RefreshBody {
    refresh_token: string;
}
/** A new account; upper and lower case of the address are the same. */
export interface RegisterBody {
    email: string;
    password: string;
}
/** What is said of an account to whoever registers its address. */
export interface RegisteredUserView {
    object?: "user";
    email: string;
}
/** The answer to a registration, the same for an address that has an account. With ``verification_required`` a mail has gone to the address, and what it brings is needed before the first log-in. */
export interface RegisteredView {
    user: RegisteredUserView;
    verification_required: boolean;
}
/** The password that is set, and a code of the app or a recovery code. */
export interface RemoveTotpBody {
    password: string;
    otp: string;
}
/** The password that is set, and a code of the app or a recovery code. */
export interface RenewRecoveryCodesBody {
    password: string;
    otp: string;
}
/** A token, as a mail brought it, and the password to set. */
export interface ResetBody {
    token: string;
    password: string;
}
/** The device's token, and what else logs in: remove what you did not add. */
export interface ResetView {
    device_token: string;
    factors: FactorView[];
}
/** What to do differently. */
export interface RetryBody {
    /** Of a film of scenes: the one to make anew, counted from 1; the others stay. */
    scene?: number | null;
}
/** The role that the account is to have. */
export interface RoleBody {
    role: "user" | "support" | "ops" | "admin";
}
/** What your webhooks are signed with. */
export interface SecretView {
    secret: string;
    created_at: string;
    /** Until then the secret before this one signs beside it. */
    previous_until: string | null;
}
/** What to make. */
export interface SubmitBody {
    /** A name from /v1/generators. */
    generator: string;
    /** What the generator's `input_schema` says. */
    input: Record<string, unknown>;
    priority?: "high" | "normal" | "low";
    /** Yours: up to 16 keys, kept and given back with the job. */
    metadata?: Record<string, string | number | boolean | null>;
    /** Told when the job starts and when it ends, signed: see /v1/webhooks/secret. */
    webhook_url?: string | null;
}
/** A subscription; ``status`` is Stripe's word: active, past_due, canceled, ... */
export interface SubscriptionView {
    id: string;
    object?: "subscription";
    plan: string;
    status: string;
    current_period_end: string | null;
    cancel_at_period_end: boolean;
}
/** ``expires_in`` is the access token's life in seconds; the refresh token works once. */
export interface TokenView {
    access_token: string;
    refresh_token: string;
    token_type?: "bearer";
    expires_in: number;
}
/** A code of the app. */
export interface TotpCodeBody {
    code: string;
}
/** A secret for an app, in base32 and as an address for a QR code. It is shown this once. */
export interface TotpSecretView {
    secret: string;
    otpauth_uri: string;
}
/** Whether log-ins need a code of an app, since when, and how many recovery codes are left. */
export interface TotpView {
    object?: "totp";
    enabled: boolean;
    confirmed_at: string | null;
    recovery_codes_left: number;
}
/** One movement of credits. ``balance_change`` is what it did to the balance. */
export interface TransactionView {
    id: string;
    object?: "transaction";
    kind: string;
    amount: number;
    balance_change: number;
    job_id: string | null;
    reason: string;
    created_at: string;
}
/** What came back; ``error`` says why it would be sent again, were it no test. */
export interface TriedView {
    /** Whether the answer was 2xx. */
    delivered: boolean;
    /** Null when there was no answer. */
    status_code: number | null;
    milliseconds: number;
    error: string | null;
}
/** Where to send a test event. */
export interface TryBody {
    url: string;
}
/** What will be uploaded. */
export interface UploadBody {
    name: string;
    /** Its size. */
    bytes: number;
    purpose?: "input" | "reference";
}
/** An upload that goes straight to the object store; it is forgotten after a day. */
export interface UploadView {
    id: string;
    object?: "upload";
    name: string;
    bytes: number;
    purpose: string;
    /** The size of every part but the last. */
    part_bytes: number;
    parts: PartView[];
    links_expire_at: string;
}
/** ``from`` and ``to`` are days in UTC, both included. */
export interface UsageView {
    data: UsedView[];
    total: CountsView;
}
/** How many there are and may be; ``max`` of null is no bound. */
export interface Used {
    now: number;
    max: number | null;
}
/** The same of one group; null is what was not asked to be grouped by, or has no API key. */
export interface UsedView {
    jobs: number;
    succeeded: number;
    failed: number;
    canceled: number;
    credits: number;
    day: string | null;
    generator: string | null;
    api_key_id: string | null;
}
/** What to change of an account. What is left out stays; a limit of null is the plan's. */
export interface UserLimitsBody {
    plan?: string;
    max_waiting_jobs?: number | null;
    /** Over all generators; with 0 its jobs wait until it is raised. */
    max_running_jobs?: number | null;
}
/** An account. */
export interface UserView {
    id: string;
    object?: "user";
    email: string;
    role: "user" | "support" | "ops" | "admin";
    created_at: string;
}
/** One thing wrong with the input: where (a path of keys), in words, and a stable code. */
export interface FieldError {
    loc: (string | number)[];
    msg: string;
    code: string;
}
/** An RFC 9457 problem document; some problems have further members. */
export interface Problem {
    /** A URN that ends in `code`. */
    type: string;
    title: string;
    status: number;
    /** What is wrong, in words. */
    detail: string;
    /** Stable: what a program goes by. */
    code: string;
    /** The path of the request; absent where a proxy answered. */
    instance?: string;
    /** Every invalid field, of input that is not valid. */
    errors?: FieldError[];
}
/** What each call takes and answers. */
export interface Calls {
    "POST /v1/auth/register": {
        body: RegisterBody;
        answer: RegisteredView;
    };
    "POST /v1/auth/verify": {
        body: MailedTokenBody;
        answer: DeviceView;
    };
    "POST /v1/auth/refresh": {
        body: RefreshBody;
        answer: TokenView;
    };
    "POST /v1/auth/password-reset": {
        body: AskResetBody;
        answer: unknown;
    };
    "POST /v1/auth/password-reset/confirm": {
        body: ResetBody;
        answer: ResetView;
    };
    "POST /v1/auth/logout": {
        answer: undefined;
    };
    "PUT /v1/me/password": {
        body: ChangePasswordBody;
        answer: undefined;
    };
    "GET /v1/me": {
        answer: UserView;
    };
    "PATCH /v1/me": {
        body: AccountChangeBody;
        answer: ChangedAccountView;
    };
    "DELETE /v1/me": {
        body: DeleteAccountBody;
        answer: unknown;
    };
    "GET /v1/me/totp": {
        answer: TotpView;
    };
    "POST /v1/me/totp": {
        body: EnrolTotpBody;
        answer: TotpSecretView;
    };
    "DELETE /v1/me/totp": {
        body: RemoveTotpBody;
        answer: undefined;
    };
    "POST /v1/me/totp/confirm": {
        body: TotpCodeBody;
        answer: RecoveryCodesView;
    };
    "POST /v1/me/totp/recovery-codes": {
        body: RenewRecoveryCodesBody;
        answer: RecoveryCodesView;
    };
    "POST /v1/me/passkeys/options": {
        body: PasskeyOptionsBody;
        answer: PasskeyOptionsView;
    };
    "GET /v1/me/passkeys": {
        answer: PasskeysView;
    };
    "POST /v1/me/passkeys": {
        body: PasskeyBody;
        answer: PasskeyView;
    };
    "DELETE /v1/me/passkeys/{passkey_id}": {
        path: {
            passkey_id: string;
        };
        answer: undefined;
    };
    "POST /v1/auth/passkeys/options": {
        answer: PasskeyOptionsView;
    };
    "POST /v1/auth/passkeys/token": {
        body: PasskeyLoginBody;
        answer: LoginView;
    };
    "GET /v1/api-keys": {
        query?: {
            limit?: number;
            after?: string | null;
        };
        answer: Page_ApiKeyView_;
    };
    "POST /v1/api-keys": {
        body: ApiKeyBody;
        answer: NewApiKeyView;
    };
    "PATCH /v1/api-keys/{key_id}": {
        path: {
            key_id: string;
        };
        body: ApiKeyChangeBody;
        answer: ApiKeyView;
    };
    "DELETE /v1/api-keys/{key_id}": {
        path: {
            key_id: string;
        };
        answer: undefined;
    };
    "GET /v1/limits": {
        answer: LimitsView;
    };
    "GET /v1/credits": {
        answer: CreditsView;
    };
    "GET /v1/credits/transactions": {
        query?: {
            limit?: number;
            after?: string | null;
            kind?: "grant" | "purchase" | "hold" | "capture" | "release" | "refund" | "claw_back" | "expire" | null;
            job_id?: string | null;
            created_after?: string | null;
            created_before?: string | null;
        };
        answer: Page_TransactionView_;
    };
    "GET /v1/credits/alert": {
        answer: AlertView;
    };
    "PUT /v1/credits/alert": {
        body: AlertBody;
        answer: AlertView;
    };
    "DELETE /v1/credits/alert": {
        answer: undefined;
    };
    "GET /v1/usage": {
        query?: {
            from?: string | null;
            to?: string | null;
            by?: string;
        };
        answer: UsageView;
    };
    "GET /v1/billing/packs": {
        answer: PacksView;
    };
    "POST /v1/billing/checkout": {
        body: CheckoutBody;
        answer: CheckoutView;
    };
    "POST /v1/billing/portal": {
        body: PortalBody;
        answer: PortalView;
    };
    "GET /v1/billing/subscription": {
        answer: SubscriptionView;
    };
    "GET /v1/billing/receipts": {
        query?: {
            limit?: number;
            after?: string | null;
        };
        answer: Page_ReceiptView_;
    };
    "POST /v1/billing/stripe/webhook": {
        answer: ReceivedView;
    };
    "GET /v1/generators": {
        answer: Record<string, GeneratorView[]>;
    };
    "GET /v1/generators/{name}": {
        path: {
            name: string;
        };
        answer: GeneratorView;
    };
    "POST /v1/generators/{name}/quote": {
        path: {
            name: string;
        };
        body: QuoteBody;
        answer: QuoteView;
    };
    "GET /v1/jobs": {
        query?: {
            status?: "queued" | "running" | "succeeded" | "failed" | "canceled" | null;
            generator?: string | null;
            created_after?: string | null;
            created_before?: string | null;
            batch?: string | null;
            limit?: number;
            after?: string | null;
        };
        answer: Page_JobView_;
    };
    "POST /v1/jobs": {
        body: SubmitBody;
        answer: JobView;
    };
    "GET /v1/jobs/{job_id}": {
        path: {
            job_id: string;
        };
        query?: {
            wait?: number;
        };
        answer: JobView;
    };
    "DELETE /v1/jobs/{job_id}": {
        path: {
            job_id: string;
        };
        answer: undefined;
    };
    "POST /v1/jobs/{job_id}/cancel": {
        path: {
            job_id: string;
        };
        answer: JobView;
    };
    "POST /v1/jobs/{job_id}/retry": {
        path: {
            job_id: string;
        };
        body?: RetryBody | null;
        answer: JobView;
    };
    "GET /v1/jobs/{job_id}/metadata": {
        path: {
            job_id: string;
        };
        answer: MetadataView;
    };
    "GET /v1/batches": {
        query?: {
            limit?: number;
            after?: string | null;
        };
        answer: Page_BatchView_;
    };
    "GET /v1/batches/{batch_id}": {
        path: {
            batch_id: string;
        };
        answer: BatchView;
    };
    "POST /v1/batches/{batch_id}/cancel": {
        path: {
            batch_id: string;
        };
        answer: BatchView;
    };
    "POST /v1/files/uploads": {
        body: UploadBody;
        answer: UploadView;
    };
    "GET /v1/files/uploads/{upload_id}": {
        path: {
            upload_id: string;
        };
        answer: UploadView;
    };
    "DELETE /v1/files/uploads/{upload_id}": {
        path: {
            upload_id: string;
        };
        answer: undefined;
    };
    "POST /v1/files/uploads/{upload_id}/complete": {
        path: {
            upload_id: string;
        };
        answer: FileView;
    };
    "GET /v1/files": {
        query?: {
            purpose?: "input" | "reference" | "output" | null;
            limit?: number;
            after?: string | null;
        };
        answer: Page_FileView_;
    };
    "GET /v1/files/{file_id}": {
        path: {
            file_id: string;
        };
        answer: FileView;
    };
    "DELETE /v1/files/{file_id}": {
        path: {
            file_id: string;
        };
        answer: undefined;
    };
    "GET /v1/personas": {
        query?: {
            limit?: number;
            after?: string | null;
        };
        answer: Page_PersonaView_;
    };
    "POST /v1/personas": {
        body: PersonaBody;
        answer: PersonaView;
    };
    "GET /v1/personas/{persona_id}": {
        path: {
            persona_id: string;
        };
        answer: PersonaView;
    };
    "PATCH /v1/personas/{persona_id}": {
        path: {
            persona_id: string;
        };
        body: PersonaChange;
        answer: PersonaView;
    };
    "DELETE /v1/personas/{persona_id}": {
        path: {
            persona_id: string;
        };
        answer: undefined;
    };
    "GET /v1/webhooks/secret": {
        answer: SecretView;
    };
    "POST /v1/webhooks/secret": {
        answer: SecretView;
    };
    "POST /v1/webhooks/test": {
        body: TryBody;
        answer: TriedView;
    };
    "GET /v1/webhooks/deliveries": {
        query?: {
            status?: "pending" | "delivered" | "failed" | null;
            limit?: number;
            after?: number | null;
        };
        answer: Page_DeliveryView_;
    };
    "POST /v1/webhooks/deliveries/{delivery_id}/replay": {
        path: {
            delivery_id: number;
        };
        answer: DeliveryView;
    };
    "GET /v1/admin/queues": {
        answer: Record<string, QueueStateView[]>;
    };
    "POST /v1/admin/queues/{generator}/{order}": {
        path: {
            generator: string;
            order: "pause" | "resume" | "drain";
        };
        answer: QueueStateView;
    };
    "GET /v1/admin/dead-letters": {
        query?: {
            unresolved?: boolean;
            limit?: number;
            after?: string | null;
        };
        answer: Page_DeadLetterView_;
    };
    "GET /v1/admin/dead-letters/{letter_id}": {
        path: {
            letter_id: string;
        };
        answer: DeadLetterView;
    };
    "POST /v1/admin/dead-letters/{letter_id}/retry": {
        path: {
            letter_id: string;
        };
        answer: DeadLetterView;
    };
    "POST /v1/admin/dead-letters/{letter_id}/drop": {
        path: {
            letter_id: string;
        };
        answer: DeadLetterView;
    };
    "GET /v1/admin/users": {
        query?: {
            email?: string | null;
            role?: "user" | "support" | "ops" | "admin" | null;
            disabled?: boolean;
            limit?: number;
            after?: string | null;
        };
        answer: Page_AccountSummaryView_;
    };
    "GET /v1/admin/users/{user_id}": {
        path: {
            user_id: string;
        };
        answer: AccountView;
    };
    "PATCH /v1/admin/users/{user_id}": {
        path: {
            user_id: string;
        };
        body: UserLimitsBody;
        answer: AccountView;
    };
    "PUT /v1/admin/users/{user_id}/role": {
        path: {
            user_id: string;
        };
        body: RoleBody;
        answer: AccountView;
    };
    "POST /v1/admin/users/{user_id}/disable": {
        path: {
            user_id: string;
        };
        answer: AccountView;
    };
    "POST /v1/admin/users/{user_id}/enable": {
        path: {
            user_id: string;
        };
        answer: AccountView;
    };
    "POST /v1/admin/users/{user_id}/grants": {
        path: {
            user_id: string;
        };
        body: GrantBody;
        answer: AccountView;
    };
    "GET /v1/admin/audit-log": {
        query?: {
            actor?: string | null;
            subject?: string | null;
            action?: string | null;
            created_after?: string | null;
            created_before?: string | null;
            limit?: number;
            after?: string | null;
        };
        answer: Page_AuditEntryView_;
    };
    "GET /v1/admin/jobs": {
        query?: {
            user_id?: string | null;
            status?: "queued" | "running" | "succeeded" | "failed" | "canceled" | null;
            generator?: string | null;
            request_id?: string | null;
            created_after?: string | null;
            created_before?: string | null;
            limit?: number;
            after?: string | null;
        };
        answer: Page_AdminJobView_;
    };
    "POST /v1/admin/jobs/{job_id}/cancel": {
        path: {
            job_id: string;
        };
        answer: AdminJobView;
    };
    "POST /v1/admin/jobs/{job_id}/retry": {
        path: {
            job_id: string;
        };
        answer: AdminJobView;
    };
    "GET /v1/admin/gpu-stats": {
        query?: {
            generator?: string | null;
            since?: string | null;
        };
        answer: GpuStatsView;
    };
    "GET /v1/admin/incidents": {
        query?: {
            limit?: number;
            after?: string | null;
        };
        answer: Page_IncidentView_;
    };
    "POST /v1/admin/incidents": {
        body: IncidentBody;
        answer: IncidentView;
    };
    "POST /v1/admin/incidents/{incident_id}/notes": {
        path: {
            incident_id: string;
        };
        body: IncidentNoteBody;
        answer: IncidentView;
    };
    "POST /v1/admin/incidents/{incident_id}/close": {
        path: {
            incident_id: string;
        };
        answer: IncidentView;
    };
    "GET /healthz": {
        answer: AliveView;
    };
    "GET /readyz": {
        answer: ReadyView;
    };
}
/** Calls that take an `Idempotency-Key`. */
export declare const CREATIONS: ReadonlySet<string>;
