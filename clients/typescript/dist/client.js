/** The client: one typed method for every call, and the few that are more than a call. */
import { CREATIONS, } from "./api.js";
import { BatchTimedOut, ConnectionFailed, DownloadCorrupted, JobFailed, WaitTimedOut, } from "./errors.js";
import { jobEvent, serverSentEvents } from "./events.js";
import { linesOf } from "./lines.js";
import { sleep, Transport } from "./transport.js";
// Between two looks at a batch, in seconds; and how often its results may break off in a row.
const FIRST_LOOK_S = 0.5;
const LONGEST_LOOK_S = 10;
const BREAKS = 3;
// What the service waits for at most, in seconds; and the pause before a stream is opened anew.
const LONGEST_WAIT_S = 60;
const RECONNECT_S = 0.5;
export class Atelier {
    #transport;
    constructor(options) {
        this.#transport = new Transport(options);
    }
    /**
     * Makes any call of the API: `call("GET /v1/jobs", { query: { limit: 5 } })`.
     *
     * A call that makes something carries an `Idempotency-Key`, so it is made and charged once,
     * however often it is sent.
     */
    async call(name, given) {
        const { path = {}, query = {}, body, ...options } = given;
        const [method = "", template = ""] = name.split(" ");
        const encoded = (_, key) => encodeURIComponent(String(path[key]));
        const target = template.replace(/\{(\w+)\}/g, encoded);
        const asked = new URLSearchParams();
        for (const [key, value] of Object.entries(query)) {
            if (value !== undefined && value !== null)
                asked.set(key, String(value));
        }
        const headers = new Headers();
        const creates = CREATIONS.has(name);
        if (creates)
            headers.set("Idempotency-Key", options.idempotencyKey ?? crypto.randomUUID());
        if (body !== undefined)
            headers.set("Content-Type", "application/json");
        const wait = Number(asked.get("wait") ?? 0);
        const text = await this.#transport.send(target + (asked.size > 0 ? `?${asked}` : ""), { method, headers, body: body === undefined ? null : JSON.stringify(body) }, {
            signal: options.signal,
            repeatable: options.repeatable ?? (creates || method !== "POST"),
            requestTimeoutMs: options.requestTimeoutMs,
            waitMs: wait * 1000,
        }, (response) => response.text());
        return (text === "" ? undefined : JSON.parse(text));
    }
    /** Submits a job; its price is held until it ends. */
    createJob(generator, input, { priority, webhookUrl, metadata, ...given } = {}) {
        const body = {
            generator,
            input,
            ...(priority && { priority }),
            ...(webhookUrl && { webhook_url: webhookUrl }),
            ...(metadata && { metadata }),
        };
        return this.call("POST /v1/jobs", { ...given, body });
    }
    /** A job, with fresh links; answers when it is final, or after `wait` seconds (60 at most). */
    getJob(jobId, given = {}) {
        const { wait, ...options } = given;
        const query = wait === undefined ? {} : { wait };
        return this.call("GET /v1/jobs/{job_id}", { ...options, path: { job_id: jobId }, query });
    }
    /** How a job is made, so far: stages with seconds, models, seed, and the lines of its `logs`. */
    getJobMetadata(jobId, given = {}) {
        return this.call("GET /v1/jobs/{job_id}/metadata", { ...given, path: { job_id: jobId } });
    }
    /** Cancels a job: a waiting one ends and costs nothing, a running one is asked to stop. */
    cancelJob(jobId, given = {}) {
        const path = { job_id: jobId };
        return this.call("POST /v1/jobs/{job_id}/cancel", { ...given, path, repeatable: true });
    }
    /**
     * Waits until a job has ended, well or not.
     *
     * @throws WaitTimedOut it has not ended in that time; it goes on
     */
    async waitForJob(jobId, { timeoutMs, signal } = {}) {
        const until = timeoutMs === undefined ? Infinity : Date.now() + timeoutMs;
        for (;;) {
            const leftS = Math.max(0, Math.min(LONGEST_WAIT_S, (until - Date.now()) / 1000));
            const job = await this.getJob(jobId, { wait: leftS, signal });
            if (isFinal(job))
                return job;
            if (Date.now() >= until)
                throw new WaitTimedOut(job);
        }
    }
    /**
     * Submits a job, waits for it, and returns it with its `outputs`.
     *
     * @throws JobFailed it failed or was canceled
     */
    async run(generator, input, options = {}) {
        const { timeoutMs, ...given } = options;
        const { id } = await this.createJob(generator, input, given);
        const job = await this.waitForJob(id, { timeoutMs, signal: given.signal });
        if (job.status !== "succeeded")
            throw new JobFailed(job);
        return job;
    }
    /**
     * What happens to a job, to its end: `done` with the final job is the last event. If the
     * connection breaks, it is made again and goes on behind the last event.
     */
    async *jobEvents(jobId, { lastEventId, signal } = {}) {
        const target = `/v1/jobs/${encodeURIComponent(jobId)}/events`;
        let last = lastEventId;
        for (;;) {
            const headers = new Headers(last === undefined ? {} : { "Last-Event-ID": last });
            const init = { method: "GET", headers };
            const sending = { signal, repeatable: true };
            const body = await this.#transport.send(target, init, sending, bodyOf);
            const events = serverSentEvents(body);
            try {
                for (;;) {
                    const next = await events.next().catch(() => undefined);
                    signal?.throwIfAborted();
                    if (next === undefined || next.done)
                        break; // it broke, or ended without a last event
                    last = next.value.id ?? last;
                    const event = jobEvent(next.value);
                    if (event !== undefined)
                        yield event;
                    if (event?.type === "done")
                        return;
                }
            }
            finally {
                await events.return();
            }
            await sleep(RECONNECT_S, signal);
        }
    }
    /**
     * Submits many jobs: all of them, or none if one is refused. `lines` are rows, or a JSON Lines
     * file. What has one `idempotencyKey` (a hash of all that is said if left out) is one batch.
     *
     * @throws ApiError `errors` names each bad line: `["line", 2, "input", "prompt"]`
     */
    async createBatch(lines, { priority = "low", webhookUrl, idempotencyKey, ...given } = {}) {
        const content = lines instanceof Blob
            ? lines
            : new Blob(Array.from(lines, (row) => `${JSON.stringify(row)}\n`));
        const said = new Blob([content, JSON.stringify([priority, webhookUrl ?? null])]);
        const key = idempotencyKey ?? `batch-${await sha256(await said.arrayBuffer())}`;
        const body = new FormData();
        body.set("priority", priority);
        if (webhookUrl !== undefined)
            body.set("webhook_url", webhookUrl);
        body.set("file", content, "batch.jsonl");
        const init = { method: "POST", body, headers: { "Idempotency-Key": key } };
        const sending = { ...given, repeatable: given.repeatable ?? true };
        return this.#transport.send("/v1/batches", init, sending, (jsonOf));
    }
    /**
     * Waits until all jobs of a batch have ended, well or not.
     *
     * @throws BatchTimedOut they have not in that time; the batch goes on
     */
    async waitForBatch(batchId, { timeoutMs, signal } = {}) {
        const until = timeoutMs === undefined ? Infinity : Date.now() + timeoutMs;
        for (let pauseS = FIRST_LOOK_S;; pauseS = Math.min(2 * pauseS, LONGEST_LOOK_S)) {
            const path = { batch_id: batchId };
            const batch = await this.call("GET /v1/batches/{batch_id}", { path, signal });
            if (batch.finished_at !== null)
                return batch;
            const leftS = (until - Date.now()) / 1000;
            if (leftS <= 0)
                throw new BatchTimedOut(batch);
            await sleep(Math.min(pauseS, leftS), signal);
        }
    }
    /**
     * The jobs of a batch behind line `after` that have ended, by line. If the connection breaks, it
     * is made again and goes on behind the last line.
     *
     * @throws ConnectionFailed it broke three times without a new line
     */
    async *batchResults(batchId, { after = 0, signal } = {}) {
        for (let breaks = 0;;) {
            const target = `/v1/batches/${encodeURIComponent(batchId)}/results?after=${after}`;
            const sending = { signal, repeatable: true };
            const body = await this.#transport.send(target, { method: "GET" }, sending, bodyOf);
            const lines = linesOf(body);
            try {
                for (;;) {
                    const next = await lines.next();
                    if (next.done)
                        return;
                    const result = JSON.parse(next.value);
                    [after, breaks] = [result.line, 0];
                    yield result;
                }
            }
            catch (error) {
                signal?.throwIfAborted();
                breaks += 1;
                if (breaks === BREAKS)
                    throw new ConnectionFailed(`GET ${target} broke`, { cause: error });
            }
            finally {
                await lines.return();
            }
            await sleep(RECONNECT_S, signal);
        }
    }
    /**
     * Submits many jobs, waits for all of them, and yields each with its line.
     *
     * @throws BatchTimedOut they have not ended in that time; the batch goes on
     */
    async *runBatch(lines, { timeoutMs, ...given } = {}) {
        const { signal } = given;
        const { id } = await this.createBatch(lines, given);
        await this.waitForBatch(id, { timeoutMs, signal });
        yield* this.batchResults(id, { signal });
    }
    /** Uploads a picture or a sound; an input names it as `{ file_id: file.id }`. */
    async upload(content, { name = "file", purpose = "input", ...given } = {}) {
        const body = new FormData();
        body.set("purpose", purpose);
        body.set("file", content, name);
        // A repeat after a lost answer may leave it there twice, which costs nothing.
        const init = { method: "POST", body };
        const sending = { ...given, repeatable: given.repeatable ?? true };
        return this.#transport.send("/v1/files", init, sending, (jsonOf));
    }
    /**
     * Downloads an output of a job, or a file, and checks its SHA-256.
     *
     * @throws DownloadCorrupted it has another one
     * @throws ApiError its link has expired: ask for the job again to get a fresh one
     */
    async download(output, given = {}) {
        const init = { method: "GET" };
        const sending = { ...given, repeatable: true };
        const response = await this.#transport.send(output.url, init, sending, (answer) => answer);
        const content = await response.arrayBuffer().catch((error) => {
            given.signal?.throwIfAborted();
            throw new ConnectionFailed(`${output.name} did not come whole`, { cause: error });
        });
        const found = await sha256(content);
        if (found !== output.sha256) {
            throw new DownloadCorrupted(`${output.name} has the SHA-256 ${found}, not ${output.sha256}`);
        }
        return new Uint8Array(content);
    }
}
/** Whether a job has ended, well or not. */
export function isFinal(job) {
    return job.status !== "queued" && job.status !== "running";
}
function bodyOf(response) {
    return response.body ?? new Blob([]).stream();
}
async function jsonOf(response) {
    return (await response.json());
}
async function sha256(content) {
    const buffer = await crypto.subtle.digest("SHA-256", content);
    return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
