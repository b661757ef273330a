/** The events of a job, read from a stream of server-sent events. */

import type { JobView } from "./api.ts";
import { linesOf } from "./lines.ts";

export type JobEvent =
  | {
      type: "status";
      status: JobView["status"];
      attempt: number;
      fraction?: number;
      stage?: string;
    }
  | { type: "progress"; fraction: number; stage: string }
  | { type: "preview"; url: string }
  | { type: "done"; job: JobView };

const TYPES: ReadonlySet<string> = new Set(["status", "progress", "preview", "done"]);

export interface ServerSentEvent {
  name: string;
  data: string;
  /** The last id that was given, by this event or before it. */
  id: string | undefined;
}

/** Yields the events of a body as they come. One that is cut off at the end is none. */
export async function* serverSentEvents(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, void> {
  let id: string | undefined;
  let name = "message";
  let data: string[] = [];
  for await (const line of linesOf(body)) {
    const [, field = "", text = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (line === "") {
      if (data.length > 0) yield { name, data: data.join("\n"), id };
      name = "message";
      data = [];
    } else if (field === "id") id = text;
    else if (field === "event") name = text;
    else if (field === "data") data.push(text);
  }
}

/** The event of a job; a kind that a later version of the service adds is undefined. */
export function jobEvent(sent: ServerSentEvent): JobEvent | undefined {
  if (!TYPES.has(sent.name)) return undefined;
  return { type: sent.name, ...JSON.parse(sent.data) } as JobEvent;
}
