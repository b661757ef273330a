/** The events of a job, read from a stream of server-sent events. */
import { linesOf } from "./lines.js";
const TYPES = new Set(["status", "progress", "preview", "done"]);
/** Yields the events of a body as they come. One that is cut off at the end is none. */
export async function* serverSentEvents(body) {
    let id;
    let name = "message";
    let data = [];
    for await (const line of linesOf(body)) {
        const [, field = "", text = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
        if (line === "") {
            if (data.length > 0)
                yield { name, data: data.join("\n"), id };
            name = "message";
            data = [];
        }
        else if (field === "id")
            id = text;
        else if (field === "event")
            name = text;
        else if (field === "data")
            data.push(text);
    }
}
/** The event of a job; a kind that a later version of the service adds is undefined. */
export function jobEvent(sent) {
    if (!TYPES.has(sent.name))
        return undefined;
    return { type: sent.name, ...JSON.parse(sent.data) };
}
