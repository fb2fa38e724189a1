/**
 * Bytes of one answer that are read at all. A result of `resultBytesMax` as text, escaped and repeated as structured content, fits;
 * what is larger is cut off while it arrives, so that 50 MB never sit in memory.
 */
export const answerBytesMax = 4 * 1024 * 1024

/** What the fetch of one tool call has to tell. */
export interface CallWatch {
  tooLarge(): void
  /** the body has ended; if the call has no answer by now, it gets none */
  ended(): void
}

/** `fetch` that stops reading a body at `answerBytesMax` and tells the call it belongs to. */
export function cappedFetch(
  watch: () => CallWatch | undefined,
): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (url, init) => {
    // Also other requests may run inside a call (a list of tools): only the call's own answer ends it.
    const call = typeof init?.body === 'string' && init.body.includes('"method":"tools/call"') ? watch() : undefined
    const response = await fetch(url, init)
    if (!response.body) return response
    let bytes = 0
    const body = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          bytes += chunk.byteLength
          if (bytes <= answerBytesMax) {
            controller.enqueue(chunk)
            return
          }
          call?.tooLarge()
          // Errors the reader and cancels the socket.
          controller.error(new Error(`the answer is larger than ${answerBytesMax} bytes`))
        },
        flush: () => call?.ended(),
      }),
    )
    return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers })
  }
}
