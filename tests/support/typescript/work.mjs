// What tests/integration/test_typescript_client.py runs with Node: each part prints what it saw.

import { once } from "node:events";
import { createServer } from "node:http";

import {
  ApiError, Atelier, AtelierError, BatchTimedOut, ConnectionFailed, DownloadCorrupted, JobFailed,
  RequestTimedOut, WaitTimedOut,
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

  /** Every kind of request has a time limit, and ends with the signal of its caller. */
  async limits() {
    const asked = [];
    const server = createServer((request, answer) => {
      asked.push(request.url);
      if (request.url.startsWith("/v1/jobs/late")) setTimeout(() => answer.end("{}"), 600);
      if (request.url === "/v1/jobs/half") answer.write('{"id": ');
      if (request.url === "/file") answer.writeHead(200).write("a");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const here = `http://127.0.0.1:${server.address().port}`;
    const quick = new Atelier({
      url: here, requestTimeoutMs: 200, retries: { attempts: 2, firstS: 0.01 },
    });
    const patient = new Atelier({ url: here });
    const silent = await errorOf(quick.getJob("silent"));
    const seen = {
      silent: [silent instanceof RequestTimedOut, silent instanceof ConnectionFailed],
      words: silent.message,
      sent: asked.length,
      half: (await errorOf(quick.getJob("half"))) instanceof RequestTimedOut,
      own: (await errorOf(
        patient.getJob("silent", { requestTimeoutMs: 100, repeatable: false }),
      )).message,
      waited: await quick.getJob("late", { wait: 60 }),
      longer: await quick.getJob("late", { requestTimeoutMs: 60_000 }),
    };
    const stopped = async (make) => (await errorOf(make(AbortSignal.timeout(100)))).name;
    const file = { name: "a", url: `${here}/file`, sha256: "0" };
    seen.stopped = [
      await stopped((signal) => patient.cancelJob("silent", { signal })),
      await stopped((signal) => patient.upload(new Blob(["x"]), { signal })),
      await stopped((signal) => patient.download(file, { signal })),
      await stopped((signal) => patient.waitForJob("silent", { signal })),
      await stopped((signal) => patient.createBatch([], { signal })),
      await stopped((signal) => patient.waitForBatch("silent", { signal })),
      await stopped((signal) => patient.batchResults("silent", { signal }).next()),
      await stopped((signal) => patient.jobEvents("silent", { signal }).next()),
    ];
    server.closeAllConnections();
    server.close();
    return seen;
  },

  /** A batch is submitted once, waited for, and its results are read by line. */
  async batch() {
    const cuts = [];
    const client = new Atelier({
      url, apiKey, retries,
      fetch: async (target, init) => {
        const answer = await fetch(target, init);
        if (!target.includes("/results")) return answer;
        cuts.push(new URL(target).searchParams.get("after"));
        return cuts.length > 1 ? answer : new Response(cutLine(answer.body), answer);
      },
    });
    const rows = ["a", "b", "c"].map((text) => ({ generator: "scribe", input: { text } }));
    rows[1].input.fault = "bad_input";
    const made = [];
    for await (const { line, job } of client.runBatch(rows)) {
      made.push([line, job.input.text, job.status]);
    }
    const same = await client.createBatch(rows);
    const file = new Blob(rows.map((row) => `${JSON.stringify(row)}\n`));
    const again = await client.createBatch(file);
    const other = await client.createBatch(rows, { priority: "normal" });
    const bad = await errorOf(client.createBatch([{ generator: "scribe", input: {} }]));
    const slow = await client.createBatch([
      { generator: "scribe", input: { text: "x", pages: 100, page_s: 0.2 } },
    ]);
    const late = await errorOf(client.waitForBatch(slow.id, { timeoutMs: 100 }));
    await client.call("POST /v1/batches/{batch_id}/cancel", { path: { batch_id: slow.id } });
    return {
      made,
      cuts,
      same: [same.id === again.id, same.id === other.id, same.counts.total],
      bad: [bad.status, bad.errors[0].loc],
      late: [late instanceof BatchTimedOut, late.batch.id === slow.id],
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

/** A body that breaks off behind its first line. */
function cutLine(body) {
  const reader = body.getReader();
  let sent = false;
  return new ReadableStream({
    async pull(controller) {
      if (sent) return controller.error(new TypeError("the connection was lost"));
      sent = true;
      const { value } = await reader.read();
      controller.enqueue(value.slice(0, value.indexOf(10) + 5));
      await reader.cancel();
    },
  });
}

console.log(JSON.stringify(await parts[part]()));
