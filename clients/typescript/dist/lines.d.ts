/** The lines of a body as they come. One that is cut off at the end is none. */
export declare function linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, void>;
