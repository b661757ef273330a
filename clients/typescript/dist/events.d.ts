/** The events of a job, read from a stream of server-sent events. */
import type { JobView } from "./api.ts";
export type JobEvent = {
    type: "status";
    status: JobView["status"];
    attempt: number;
    fraction?: number;
    stage?: string;
} | {
    type: "progress";
    fraction: number;
    stage: string;
} | {
    type: "preview";
    url: string;
} | {
    type: "done";
    job: JobView;
};
export interface ServerSentEvent {
    name: string;
    data: string;
    /** The last id that was given, by this event or before it. */
    id: string | undefined;
}
/** Yields the events of a body as they come. One that is cut off at the end is none. */
export declare function serverSentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent, void, void>;
/** The event of a job; a kind that a later version of the service adds is undefined. */
export declare function jobEvent(sent: ServerSentEvent): JobEvent | undefined;
