/** The events of a job, read from a stream of server-sent events. */
const TYPES = new Set(["status", "progress", "preview", "done"]);
/** Yields the events of a body as they come. One that is cut off at the end is none. */
export async function* serverSentEvents(body) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let id;
    let name = "message";
    let data = [];
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done)
                return;
            const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
            rest = lines.pop() ?? "";
            for (const line of lines.map((one) => one.replace(/\r$/, ""))) {
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
    }
    finally {
        await reader.cancel().catch(() => undefined);
    }
}
/** The event of a job; a kind that a later version of the service adds is undefined. */
export function jobEvent(sent) {
    if (!TYPES.has(sent.name))
        return undefined;
    return { type: sent.name, ...JSON.parse(sent.data) };
}
