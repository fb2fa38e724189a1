/** Far above any answer of a model (some 200 000 tokens of JSON deltas); below what would hurt the process. */
const responseBytesMax = 64 * 1024 * 1024

/**
 * `fetch` that tells of every byte that arrives (a provider's pings keep a long thought alive), refuses redirects (they would carry
 * the key elsewhere) and cuts an endless body off.
 * @param filter for answers that are a stream of events
 */
export function watchedFetch(
  alive: () => void,
  filter: (() => TransformStream<Uint8Array, Uint8Array>) | null = null,
): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, redirect: 'error' })
    alive()
    if (!response.body) return response
    let bytes = 0
    const body = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          alive()
          bytes += chunk.byteLength
          if (bytes > responseBytesMax)
            controller.error(new Error(`the answer is larger than ${responseBytesMax} bytes`))
          else controller.enqueue(chunk)
        },
      }),
    )
    const events = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false
    const shown = filter && events ? body.pipeThrough(filter()) : body
    return new Response(shown, { status: response.status, statusText: response.statusText, headers: response.headers })
  }
}
