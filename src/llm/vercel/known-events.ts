/** Anthropic's stream events: https://docs.anthropic.com/en/api/messages-streaming */
const known: ReadonlySet<string> = new Set([
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
  'ping',
  'error',
])
const eventBytesMax = 8 * 1024 * 1024

/**
 * Leaves events out that Anthropic adds over time: its versioning policy asks clients to ignore what they do not know, and the SDK
 * ends the answer with an error instead. Works on bytes, as a piece of the network may end inside a character.
 */
export function knownEvents(): TransformStream<Uint8Array, Uint8Array> {
  let held = Buffer.alloc(0)
  return new TransformStream({
    transform(chunk, controller) {
      held = Buffer.concat([held, chunk])
      if (held.byteLength > eventBytesMax)
        controller.error(new Error(`one event is larger than ${eventBytesMax} bytes`))
      for (let end = endOf(held); end > 0; end = endOf(held)) {
        const event = held.subarray(0, end)
        held = held.subarray(end)
        if (isKnown(event)) controller.enqueue(event)
      }
    },
    flush(controller) {
      if (held.byteLength > 0) controller.enqueue(held)
    },
  })
}

/** After the blank line that ends the first event; 0: it has not ended yet. */
function endOf(bytes: Buffer): number {
  const [unix, windows] = [bytes.indexOf('\n\n'), bytes.indexOf('\r\n\r\n')]
  if (windows >= 0 && (unix < 0 || windows < unix)) return windows + 4
  return unix < 0 ? 0 : unix + 2
}

function isKnown(event: Buffer): boolean {
  const name = /^event:[ \t]*([^\r\n]*)/m.exec(event.toString('latin1'))?.[1]
  return name === undefined || known.has(name.trim())
}
