export type * from "./api.ts";
export * from "./client.ts";
export * from "./errors.ts";
export type { JobEvent } from "./events.ts";
export type { Options, Retries } from "./transport.ts";
