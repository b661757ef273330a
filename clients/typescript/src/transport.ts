/** Requests: the key, the time limit, and when a request is sent again. */

import { ApiError, ConnectionFailed, RequestTimedOut } from "./errors.ts";

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

const TIMEOUT_MS = 90_000;

export class Transport {
  readonly #url: string;
  readonly #apiKey: string | undefined;
  readonly #retries: Retries;
  readonly #fetch: typeof fetch;
  readonly #timeoutMs: number;

  constructor(options: Options) {
    this.#url = options.url.replace(/\/+$/, "");
    this.#apiKey = options.apiKey;
    this.#retries = { attempts: 5, firstS: 0.5, mostS: 60, ...options.retries };
    this.#timeoutMs = options.requestTimeoutMs ?? TIMEOUT_MS;
    this.#fetch = options.fetch ?? ((...given) => fetch(...given));
  }

  /**
   * Sends a request until it works, as far as `retries` goes. A signed link (a whole address) gets
   * no key: its host may be another. The time limit ends when the answer is `read`: of a body that
   * may take its time, `read` returns the response itself.
   *
   * @throws ApiError the service refused it
   * @throws RequestTimedOut no answer came in time
   * @throws ConnectionFailed no answer came
   */
  async send<T>(
    target: string,
    init: RequestInit,
    sending: Sending,
    read: (response: Response) => Promise<T> | T,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(target, init, sending, read);
      } catch (error) {
        const pauseS = sending.repeatable ? this.#pause(attempt, error) : undefined;
        if (pauseS === undefined) throw error;
        await sleep(pauseS, sending.signal);
      }
    }
  }

  async #once<T>(
    target: string,
    init: RequestInit,
    { signal, requestTimeoutMs = this.#timeoutMs, waitMs = 0 }: Sending,
    read: (response: Response) => Promise<T> | T,
  ): Promise<T> {
    const headers = new Headers(init.headers);
    const own = target.startsWith("/");
    if (own && this.#apiKey) headers.set("Authorization", `Bearer ${this.#apiKey}`);
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), requestTimeoutMs + waitMs);
    const stop = () => limit.abort(signal?.reason);
    signal?.throwIfAborted();
    // It stays there: a body that is read later ends with the signal, too.
    signal?.addEventListener("abort", stop, { once: true });
    let refused: Response;
    let text: string;
    try {
      const response = await this.#fetch(own ? this.#url + target : target, {
        ...init,
        headers,
        signal: limit.signal,
      });
      if (response.ok) return await read(response);
      refused = response;
      text = await response.text().catch(() => "");
    } catch (error) {
      signal?.throwIfAborted();
      const request = `${init.method} ${target}`;
      if (limit.signal.aborted) {
        const words = `${request}: no answer within ${requestTimeoutMs + waitMs} ms`;
        throw new RequestTimedOut(words, { cause: error });
      }
      throw new ConnectionFailed(`${request}: ${reason(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
    throw new ApiError(refused, text);
  }

  /** The seconds after that attempt (from 1) and its error; undefined: that was the last. */
  #pause(attempt: number, error: unknown): number | undefined {
    const { attempts, firstS, mostS } = this.#retries;
    const asked = error instanceof ApiError ? (error.retryAfterS ?? 0) : 0;
    const temporary = error instanceof ApiError ? error.temporary : error instanceof ConnectionFailed;
    if (!temporary || attempt >= attempts || asked > mostS) return undefined;
    const own = Math.min(mostS, firstS * 2 ** (attempt - 1));
    return Math.max(asked, own * (0.5 + Math.random() / 2));
  }
}

/** Waits that many seconds, or throws the reason of the signal. */
export async function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
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

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
