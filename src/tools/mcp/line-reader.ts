const kept = 512

export interface LineSink {
  line(text: string): void
  /** a line longer than the limit: its first and last 512 bytes */
  overlong(head: string, tail: string): void
}

/** Splits a byte stream in lines; of a line beyond `lineBytesMax` only the ends are kept, however long it is. */
export class LineReader {
  readonly #lineBytesMax: number
  readonly #sink: LineSink
  #pending: Buffer[] = []
  #bytes = 0
  #head: Buffer | null = null
  #tail = Buffer.alloc(0)

  constructor(lineBytesMax: number, sink: LineSink) {
    this.#lineBytesMax = lineBytesMax
    this.#sink = sink
  }

  push(chunk: Buffer): void {
    let rest = chunk
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      this.#add(rest.subarray(0, end))
      this.#finish()
      rest = rest.subarray(end + 1)
    }
    this.#add(rest)
  }

  #add(part: Buffer): void {
    if (part.length === 0) return
    if (!this.#head) {
      this.#pending.push(part)
      this.#bytes += part.length
      if (this.#bytes <= this.#lineBytesMax) return
      const all = Buffer.concat(this.#pending)
      this.#head = Buffer.from(all.subarray(0, kept))
      this.#tail = Buffer.from(all.subarray(-kept))
      this.#pending = []
      return
    }
    this.#tail = Buffer.from(Buffer.concat([this.#tail, part.subarray(-kept)]).subarray(-kept))
  }

  #finish(): void {
    const { sink, head, tail } = { sink: this.#sink, head: this.#head, tail: this.#tail }
    const text = head ? '' : Buffer.concat(this.#pending).toString('utf8')
    this.#pending = []
    this.#bytes = 0
    this.#head = null
    this.#tail = Buffer.alloc(0)
    if (head) sink.overlong(head.toString('utf8'), tail.toString('utf8'))
    else if (text.trim() !== '') sink.line(text)
  }
}
