/** The client: one typed method for every call, and the few that are more than a call. */
import { type Calls, type FileView, type JobView, type MetadataView, type OutputView } from "./api.ts";
import { type JobEvent } from "./events.ts";
import { type Options } from "./transport.ts";
/** What a call takes beside its name. */
export interface Given {
    signal?: AbortSignal | undefined;
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
    cancelJob(jobId: string): Promise<JobView>;
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
    /** Uploads a picture or a sound; an input names it as `{ file_id: file.id }`. */
    upload(content: Blob, { name, purpose }?: {
        name?: string;
        purpose?: "input" | "reference";
    }): Promise<FileView>;
    /**
     * Downloads an output of a job, or a file, and checks its SHA-256.
     *
     * @throws DownloadCorrupted it has another one
     * @throws ApiError its link has expired: ask for the job again to get a fresh one
     */
    download(output: Pick<OutputView, "name" | "url" | "sha256">): Promise<Uint8Array<ArrayBuffer>>;
}
/** Whether a job has ended, well or not. */
export declare function isFinal(job: JobView): boolean;
