/** Requests: the key, the time limit, and when a request is sent again. */
import { ApiError, ConnectionFailed } from "./errors.js";
// The service keeps a waiting request for a minute.
const TIMEOUT_MS = 90_000;
export class Transport {
    #url;
    #apiKey;
    #retries;
    #fetch;
    constructor(options) {
        this.#url = options.url.replace(/\/+$/, "");
        this.#apiKey = options.apiKey;
        this.#retries = { attempts: 5, firstS: 0.5, mostS: 60, ...options.retries };
        this.#fetch = options.fetch ?? ((...given) => fetch(...given));
    }
    /**
     * Sends a request until it works, as far as `retries` goes. A signed link (a whole address) gets
     * no key: its host may be another.
     *
     * @throws ApiError the service refused it
     * @throws ConnectionFailed no answer came
     */
    async send(target, init, sending) {
        for (let attempt = 1;; attempt++) {
            try {
                return await this.#once(target, init, sending.signal);
            }
            catch (error) {
                const pauseS = sending.repeatable ? this.#pause(attempt, error) : undefined;
                if (pauseS === undefined)
                    throw error;
                await sleep(pauseS, sending.signal);
            }
        }
    }
    async #once(target, init, signal) {
        const headers = new Headers(init.headers);
        const own = target.startsWith("/");
        if (own && this.#apiKey)
            headers.set("Authorization", `Bearer ${this.#apiKey}`);
        // Until the headers are here: a body may take its time.
        const limit = new AbortController();
        const timer = setTimeout(() => limit.abort(), TIMEOUT_MS);
        const stop = () => limit.abort(signal?.reason);
        signal?.throwIfAborted();
        signal?.addEventListener("abort", stop, { once: true });
        let response;
        try {
            response = await this.#fetch(own ? this.#url + target : target, {
                ...init,
                headers,
                signal: limit.signal,
            });
        }
        catch (error) {
            signal?.throwIfAborted();
            throw new ConnectionFailed(`${init.method} ${target}: ${reason(error)}`, { cause: error });
        }
        finally {
            clearTimeout(timer);
        }
        if (response.ok)
            return response;
        throw new ApiError(response, await response.text().catch(() => ""));
    }
    /** The seconds after that attempt (from 1) and its error; undefined: that was the last. */
    #pause(attempt, error) {
        const { attempts, firstS, mostS } = this.#retries;
        const asked = error instanceof ApiError ? (error.retryAfterS ?? 0) : 0;
        const temporary = error instanceof ApiError ? error.temporary : error instanceof ConnectionFailed;
        if (!temporary || attempt >= attempts || asked > mostS)
            return undefined;
        const own = Math.min(mostS, firstS * 2 ** (attempt - 1));
        return Math.max(asked, own * (0.5 + Math.random() / 2));
    }
}
/** Waits that many seconds, or throws the reason of the signal. */
export async function sleep(seconds, signal) {
    signal?.throwIfAborted();
    await new Promise((resolve, reject) => {
        const stop = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", stop);
            resolve();
        }, seconds * 1000);
        signal?.addEventListener("abort", stop, { once: true });
    });
}
function reason(error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return cause instanceof Error ? cause.message : String(cause);
}
