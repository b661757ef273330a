/** What can go wrong. Every error of this package is an `AtelierError`. */
import type { BatchView, FieldError, JobView, Problem } from "./api.ts";
export declare class AtelierError extends Error {
    constructor(message: string, options?: ErrorOptions);
}
/** No answer came: the service is down, unknown, or the connection broke. */
export declare class ConnectionFailed extends AtelierError {
}
/** No answer came within the time limit of a request; whether it was carried out is not known. */
export declare class RequestTimedOut extends ConnectionFailed {
}
/** A downloaded file differs from what the service said of it. */
export declare class DownloadCorrupted extends AtelierError {
}
/** A job failed or was canceled; `job.error` says why it failed. */
export declare class JobFailed extends AtelierError {
    readonly job: JobView;
    constructor(job: JobView);
}
/** A job has not ended in the time that it was given; it goes on. `job` is its last state. */
export declare class WaitTimedOut extends AtelierError {
    readonly job: JobView;
    constructor(job: JobView);
}
/** The jobs of a batch have not all ended in the time that they were given; they go on. */
export declare class BatchTimedOut extends AtelierError {
    readonly batch: BatchView;
    constructor(batch: BatchView);
}
/**
 * The service refused a request; what was refused changed nothing.
 *
 * `code` is what a program goes by (empty if a proxy answered), `errors` lists each field that is
 * wrong, `problem` is the whole problem document. Operators find `requestId` in their logs.
 */
export declare class ApiError extends AtelierError {
    readonly status: number;
    readonly code: string;
    readonly title: string;
    readonly detail: string;
    readonly errors: FieldError[];
    readonly problem: Partial<Problem>;
    readonly requestId: string | null;
    readonly retryAfterS: number | null;
    constructor(response: Response, text: string);
    /** Whether the same request may work in a moment. */
    get temporary(): boolean;
}
