// What tests/integration/test_typescript_client.py runs with Node: each part prints what it saw.

import {
  ApiError, Atelier, AtelierError, ConnectionFailed, DownloadCorrupted, JobFailed, WaitTimedOut,
} from "atelier-client";

const [part] = process.argv.slice(2);
const { URL: url, KEY: apiKey } = process.env;
const retries = { firstS: 0.01 };

/** The error of a promise. */
async function errorOf(promise) {
  return promise.then(
    () => { throw new Error("it did not fail"); },
    (error) => error,
  );
}

const parts = {
  /** Every kind of refusal is an error of its class. */
  async errors() {
    const client = new Atelier({ url, apiKey, retries });
    const bad = await errorOf(client.createJob("image", { prompt: "" }));
    const stranger = new Atelier({ url, apiKey: "atl_wrong" });
    const unknown = await errorOf(stranger.call("GET /v1/me", {}));
    const failed = await errorOf(client.run("scribe", { text: "x", fault: "bad_input" }));
    const slow = await client.createJob("scribe", { text: "x", pages: 100, page_s: 0.2 });
    const late = await errorOf(client.waitForJob(slow.id, { timeoutMs: 100 }));
    const stop = new AbortController();
    const left = errorOf(client.waitForJob(slow.id, { signal: stop.signal }));
    stop.abort(new Error("enough"));
    const aborted = await left;
    await client.cancelJob(slow.id);
    const made = await client.run("scribe", { text: "x" });
    const corrupted = await errorOf(client.download({ ...made.outputs[0], sha256: "0" }));
    const refused = new Atelier({ url: "http://127.0.0.1:1", retries: { attempts: 2, firstS: 0.01 } });
    const nobody = await errorOf(refused.call("GET /healthz", {}));
    return {
      bad: [bad instanceof ApiError, bad.name, bad.status, bad.code, bad.errors[0].loc, bad.message],
      requestId: typeof bad.requestId,
      unknown: [unknown.status, unknown.code],
      failed: [failed instanceof JobFailed, failed.job.error.code, failed.message],
      late: [late instanceof WaitTimedOut, late.job.id === slow.id],
      aborted: aborted.message,
      corrupted: [corrupted instanceof DownloadCorrupted, corrupted instanceof AtelierError],
      nobody: nobody instanceof ConnectionFailed,
      canceled: (await client.waitForJob(slow.id)).status,
    };
  },

  /** A submit whose answers are lost is made once. */
  async lost() {
    const keys = [];
    const client = new Atelier({
      url, apiKey, retries,
      fetch: async (target, init) => {
        const answer = await fetch(target, init);
        if (init.method !== "POST") return answer;
        keys.push(init.headers.get("Idempotency-Key"));
        if (keys.length > 2) return answer;
        await answer.text();
        throw new TypeError("the connection was lost");
      },
    });
    const job = await client.run("scribe", { text: "x" }, { metadata: { for: "ada" } });
    const listed = await client.call("GET /v1/jobs", { query: { status: "succeeded", limit: 5 } });
    const again = await client.createJob("scribe", { text: "x" }, { idempotencyKey: "mine" });
    const same = await client.createJob("scribe", { text: "x" }, { idempotencyKey: "mine" });
    return {
      keys: [keys.length, new Set(keys.slice(0, 3)).size, keys[3]],
      listed: listed.data.map((one) => one.id === job.id),
      metadata: job.metadata,
      same: again.id === same.id,
    };
  },

  /** Events go on where the connection broke. */
  async events() {
    const asked = [];
    const client = new Atelier({
      url, apiKey, retries,
      fetch: async (target, init) => {
        const answer = await fetch(target, init);
        if (!target.endsWith("/events")) return answer;
        asked.push(init.headers.get("Last-Event-ID"));
        return asked.length > 1 ? answer : new Response(cut(answer.body), answer);
      },
    });
    const job = await client.createJob("scribe", { text: "x", pages: 8, page_s: 0.3 });
    const types = [];
    let last;
    for await (const event of client.jobEvents(job.id)) {
      types.push(event.type);
      last = event;
    }
    const early = await client.createJob("scribe", { text: "x", pages: 100, page_s: 0.2 });
    for await (const _ of client.jobEvents(early.id)) break;
    await client.cancelJob(early.id);
    return {
      asked,
      ended: [last.job.id === job.id, last.job.status],
      types: [...new Set(types)].sort(),
      done: types.filter((type) => type === "done").length,
    };
  },

  /** A file is uploaded and named in an input. */
  async files() {
    const client = new Atelier({ url, apiKey });
    const drawn = await client.run("image", { prompt: "a red circle on a blue background" });
    const picture = new Blob([await client.download(drawn.outputs[0])], { type: "image/png" });
    const file = await client.upload(picture, { name: "circle.png" });
    const job = await client.run("scribe", { text: "x", pictures: [{ file_id: file.id }] });
    const { metadata, logs } = await client.getJobMetadata(job.id);
    const copy = await client.download(file);
    return {
      same: [file.sha256 === drawn.outputs[0].sha256, copy.length === picture.size],
      file: [file.name, file.purpose],
      named: job.input.pictures[0].file_id === file.id,
      made: [metadata.status, logs[0].message, logs[0].level],
    };
  },
};

/** A body that breaks off behind the first event with an id. */
function cut(body) {
  const reader = body.getReader();
  let broken = false;
  return new ReadableStream({
    async pull(controller) {
      if (broken) return controller.error(new TypeError("the connection was lost"));
      const { value, done } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value);
      broken = new TextDecoder().decode(value).includes("id: ");
      if (broken) await reader.cancel();
    },
  });
}

console.log(JSON.stringify(await parts[part]()));
