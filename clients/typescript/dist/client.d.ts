/** The client: one typed method for every call, and the few that are more than a call. */
import { type BatchView, type Calls, type FileView, type JobView, type MetadataView, type OutputView } from "./api.ts";
import { type JobEvent } from "./events.ts";
import { type Options } from "./transport.ts";
/** What a call takes beside its name. */
export interface Given {
    signal?: AbortSignal | undefined;
    /** How long the request may take, each time it is sent; in place of the client's. */
    requestTimeoutMs?: number | undefined;
    /** Of a call that makes something; random if left out. */
    idempotencyKey?: string;
    /** Whether it may be sent again where an answer was lost: by default all but some POSTs. */
    repeatable?: boolean;
}
export type Arguments<N extends keyof Calls> = Given & Omit<Calls[N], "answer">;
export interface JobOptions extends Given {
    priority?: JobView["priority"];
    webhookUrl?: string;
    metadata?: Record<string, string | number | boolean | null>;
}
export interface WaitOptions {
    /** In milliseconds; without it there is no limit. */
    timeoutMs?: number | undefined;
    signal?: AbortSignal | undefined;
}
/** A job of a batch: what `createJob` takes, as the service names it. */
export interface BatchRow {
    generator: string;
    input: Record<string, unknown>;
    metadata?: Record<string, string | number | boolean | null>;
    webhook_url?: string;
}
export interface BatchOptions extends Given {
    /** At `low`, the default, jobs cost half. */
    priority?: BatchView["priority"];
    webhookUrl?: string;
}
/** A job of a batch that has ended, and its line in the file, from 1. */
export interface BatchResult {
    line: number;
    job: JobView;
}
export declare class Atelier {
    #private;
    constructor(options: Options);
    /**
     * Makes any call of the API: `call("GET /v1/jobs", { query: { limit: 5 } })`.
     *
     * A call that makes something carries an `Idempotency-Key`, so it is made and charged once,
     * however often it is sent.
     */
    call<N extends keyof Calls>(name: N, given: Arguments<N>): Promise<Calls[N]["answer"]>;
    /** Submits a job; its price is held until it ends. */
    createJob(generator: string, input: Record<string, unknown>, { priority, webhookUrl, metadata, ...given }?: JobOptions): Promise<JobView>;
    /** A job, with fresh links; answers when it is final, or after `wait` seconds (60 at most). */
    getJob(jobId: string, given?: Given & {
        wait?: number;
    }): Promise<JobView>;
    /** How a job is made, so far: stages with seconds, models, seed, and the lines of its `logs`. */
    getJobMetadata(jobId: string, given?: Given): Promise<MetadataView>;
    /** Cancels a job: a waiting one ends and costs nothing, a running one is asked to stop. */
    cancelJob(jobId: string, given?: Given): Promise<JobView>;
    /**
     * Waits until a job has ended, well or not.
     *
     * @throws WaitTimedOut it has not ended in that time; it goes on
     */
    waitForJob(jobId: string, { timeoutMs, signal }?: WaitOptions): Promise<JobView>;
    /**
     * Submits a job, waits for it, and returns it with its `outputs`.
     *
     * @throws JobFailed it failed or was canceled
     */
    run(generator: string, input: Record<string, unknown>, options?: JobOptions & WaitOptions): Promise<JobView>;
    /**
     * What happens to a job, to its end: `done` with the final job is the last event. If the
     * connection breaks, it is made again and goes on behind the last event.
     */
    jobEvents(jobId: string, { lastEventId, signal }?: {
        lastEventId?: string;
        signal?: AbortSignal;
    }): AsyncGenerator<JobEvent, void, void>;
    /**
     * Submits many jobs: all of them, or none if one is refused. `lines` are rows, or a JSON Lines
     * file. What has one `idempotencyKey` (a hash of all that is said if left out) is one batch.
     *
     * @throws ApiError `errors` names each bad line: `["line", 2, "input", "prompt"]`
     */
    createBatch(lines: Iterable<BatchRow> | Blob, { priority, webhookUrl, idempotencyKey, ...given }?: BatchOptions): Promise<BatchView>;
    /**
     * Waits until all jobs of a batch have ended, well or not.
     *
     * @throws BatchTimedOut they have not in that time; the batch goes on
     */
    waitForBatch(batchId: string, { timeoutMs, signal }?: WaitOptions): Promise<BatchView>;
    /**
     * The jobs of a batch behind line `after` that have ended, by line. If the connection breaks, it
     * is made again and goes on behind the last line.
     *
     * @throws ConnectionFailed it broke three times without a new line
     */
    batchResults(batchId: string, { after, signal }?: {
        after?: number;
        signal?: AbortSignal | undefined;
    }): AsyncGenerator<BatchResult, void, void>;
    /**
     * Submits many jobs, waits for all of them, and yields each with its line.
     *
     * @throws BatchTimedOut they have not ended in that time; the batch goes on
     */
    runBatch(lines: Iterable<BatchRow> | Blob, { timeoutMs, ...given }?: BatchOptions & WaitOptions): AsyncGenerator<BatchResult, void, void>;
    /** Uploads a picture or a sound; an input names it as `{ file_id: file.id }`. */
    upload(content: Blob, { name, purpose, ...given }?: Given & {
        name?: string;
        purpose?: "input" | "reference";
    }): Promise<FileView>;
    /**
     * Downloads an output of a job, or a file, and checks its SHA-256.
     *
     * @throws DownloadCorrupted it has another one
     * @throws ApiError its link has expired: ask for the job again to get a fresh one
     */
    download(output: Pick<OutputView, "name" | "url" | "sha256">, given?: Given): Promise<Uint8Array<ArrayBuffer>>;
}
/** Whether a job has ended, well or not. */
export declare function isFinal(job: JobView): boolean;
