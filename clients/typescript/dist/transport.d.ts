/** Requests: the key, the time limit, and when a request is sent again. */
/** How often a request is sent, all attempts together, and the seconds between them. */
export interface Retries {
    attempts: number;
    /** The pause doubles from here, less a random part. */
    firstS: number;
    /** No pause is longer; a service that asks for more is not waited for. */
    mostS: number;
}
export interface Options {
    /** Where the service is: `http://127.0.0.1:8000`. */
    url: string;
    /** An API key (`atl_...`), or the access token of a login. */
    apiKey?: string;
    retries?: Partial<Retries>;
    /** How long a request may take, each time it is sent; by default 90,000 ms. */
    requestTimeoutMs?: number;
    /** What sends requests, in place of the global `fetch`. */
    fetch?: typeof fetch;
}
export interface Sending {
    signal?: AbortSignal | undefined;
    /** Whether it may be sent again where an answer was lost. */
    repeatable: boolean;
    /** In place of the limit of all requests. */
    requestTimeoutMs?: number | undefined;
    /** So long the service waits before it answers, beside the limit. */
    waitMs?: number;
}
export declare class Transport {
    #private;
    constructor(options: Options);
    /**
     * Sends a request until it works, as far as `retries` goes. A signed link (a whole address) gets
     * no key: its host may be another. The time limit ends when the answer is `read`: of a body that
     * may take its time, `read` returns the response itself.
     *
     * @throws ApiError the service refused it
     * @throws RequestTimedOut no answer came in time
     * @throws ConnectionFailed no answer came
     */
    send<T>(target: string, init: RequestInit, sending: Sending, read: (response: Response) => Promise<T> | T): Promise<T>;
}
/** Waits that many seconds, or throws the reason of the signal. */
export declare function sleep(seconds: number, signal?: AbortSignal): Promise<void>;
