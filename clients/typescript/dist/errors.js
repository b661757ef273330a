/** What can go wrong. Every error of this package is an `AtelierError`. */
export class AtelierError extends Error {
    constructor(message, options) {
        super(message, options);
        this.name = new.target.name;
    }
}
/** No answer came: the service is down, unknown, or the connection broke. */
export class ConnectionFailed extends AtelierError {
}
/** No answer came within the time limit of a request; whether it was carried out is not known. */
export class RequestTimedOut extends ConnectionFailed {
}
/** A downloaded file differs from what the service said of it. */
export class DownloadCorrupted extends AtelierError {
}
/** A job failed or was canceled; `job.error` says why it failed. */
export class JobFailed extends AtelierError {
    job;
    constructor(job) {
        super(`${job.id} is ${job.status}${job.error ? `: ${job.error.detail}` : ""}`);
        this.job = job;
    }
}
/** A job has not ended in the time that it was given; it goes on. `job` is its last state. */
export class WaitTimedOut extends AtelierError {
    job;
    constructor(job) {
        super(`${job.id} is still ${job.status}`);
        this.job = job;
    }
}
/** The jobs of a batch have not all ended in the time that they were given; they go on. */
export class BatchTimedOut extends AtelierError {
    batch;
    constructor(batch) {
        super(`${batch.counts.unfinished} jobs of ${batch.id} have not ended`);
        this.batch = batch;
    }
}
/**
 * The service refused a request; what was refused changed nothing.
 *
 * `code` is what a program goes by (empty if a proxy answered), `errors` lists each field that is
 * wrong, `problem` is the whole problem document. Operators find `requestId` in their logs.
 */
export class ApiError extends AtelierError {
    status;
    code;
    title;
    detail;
    errors;
    problem;
    requestId;
    retryAfterS;
    constructor(response, text) {
        const problem = parseProblem(text);
        const faults = (problem.errors ?? []).map(({ loc, msg }) => [loc.join("."), msg].join(": "));
        const title = problem.title ?? response.statusText;
        const detail = problem.detail ?? "";
        super(`${response.status} ${title}: ${faults.join("; ") || detail || "no reason"}`);
        this.status = response.status;
        this.code = problem.code ?? "";
        this.title = title;
        this.detail = detail;
        this.errors = problem.errors ?? [];
        this.problem = problem;
        this.requestId = response.headers.get("x-request-id");
        this.retryAfterS = secondsOf(response.headers.get("retry-after"));
    }
    /** Whether the same request may work in a moment. */
    get temporary() {
        return [429, 502, 503, 504].includes(this.status);
    }
}
function parseProblem(text) {
    try {
        const found = JSON.parse(text);
        if (typeof found === "object" && found !== null && !Array.isArray(found))
            return found;
    }
    catch {
        // A proxy's page.
    }
    return { detail: text.slice(0, 200).trim() };
}
/** The seconds of `Retry-After`, which proxies also write as a date. */
function secondsOf(value) {
    if (value === null)
        return null;
    const seconds = Number(value);
    const found = Number.isNaN(seconds) ? (Date.parse(value) - Date.now()) / 1000 : seconds;
    return Number.isNaN(found) ? null : Math.max(0, found);
}
