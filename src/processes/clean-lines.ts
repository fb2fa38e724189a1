import type { DestinationStream } from 'pino'
import { type Redactor, withheldStub } from '../guards/privacy/redact.ts'
import type { JsonObject, JsonValue } from '../kernel/json.ts'

/** A longer line is a mistake, and looking at it would cost more than the log is worth. */
const lineLengthMax = 64 * 1024
/** Looked at in a millisecond, so that nobody waits for the log. */
const linesMax = 200

/** Members that hold a secret whatever it looks like. */
const secretNames: ReadonlySet<string> = new Set(['authorization', 'cookie', 'token', 'secret', 'apiKey'])
/** As JSON writes them; in a text their quotes would be escaped. */
const mayBeNamed = /"(?:authorization|cookie|token|secret|apiKey)":/
/** A comment that begins in one line and ends in another would hide what stands between them: such lines are looked at one by one. */
const comment = '<!--'

export interface CleanLinesOptions {
  readonly redactor: Redactor
  readonly destination: DestinationStream & { flushSync?(): void }
  /** Lines that come within this time are looked at and written together, or when the process ends. 0: each as it comes. */
  readonly gatherMs: number
}

/**
 * Takes secrets out of finished lines on their way to where they are kept: those under the name of one, and whatever else the privacy
 * guard takes for one, in messages, fields at any depth, and stacks. To look at many lines costs little more than to look at one: most of
 * what they say is the same.
 */
export class CleanLines implements DestinationStream {
  readonly #options: CleanLinesOptions
  #waiting: string[] = []
  #timer: NodeJS.Timeout | null = null
  readonly #onExit = (): void => {
    this.flush()
    this.#options.destination.flushSync?.()
  }

  constructor(options: CleanLinesOptions) {
    this.#options = options
  }

  /** @param line one JSON object and a line feed */
  write(line: string): void {
    this.#waiting.push(line)
    if (this.#options.gatherMs === 0 || this.#waiting.length >= linesMax) return this.flush()
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => this.flush(), this.#options.gatherMs)
    process.once('exit', this.#onExit)
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    process.off('exit', this.#onExit)
    this.#timer = null
    const lines = this.#waiting
    this.#waiting = []
    if (lines.length > 0) this.#options.destination.write(cleanLines(lines, this.#options.redactor))
  }
}

function cleanLines(lines: readonly string[], redactor: Redactor): string {
  const all = lines.join('')
  const apart = mayBeNamed.test(all) || all.includes(comment) || lines.some((line) => line.length > lineLengthMax)
  return !apart && areClean(lines, redactor) ? all : lines.map((line) => cleanLine(line, redactor)).join('')
}

function areClean(lines: readonly string[], redactor: Redactor): boolean {
  try {
    return redactor.isClean(JSON.parse(`[${lines.join(',')}]`) as JsonValue) // pino writes objects
  } catch {
    return false // each is looked at by itself, and the one that is no JSON is withheld
  }
}

/** Where the guard fails the line says only that: level and time stay, what it would have said does not. */
function cleanLine(line: string, redactor: Redactor): string {
  const failed = (why: string, head: JsonObject = {}) =>
    `${JSON.stringify({ level: head['level'] ?? 50, time: head['time'] ?? null, msg: why })}\n`
  if (line.length > lineLengthMax) return failed(`[withheld: a line of ${line.length} characters]`)
  let fields: JsonObject
  try {
    fields = JSON.parse(line) as JsonObject // pino writes one object
  } catch {
    return failed('[withheld: a line that is no JSON]')
  }
  try {
    const { value, removed } = redactor.json(fields)
    if (removed.length === 0 && !mayBeNamed.test(line)) return line
    return `${JSON.stringify(value, (name, member: unknown) => (secretNames.has(name) ? '[secret]' : member))}\n`
  } catch {
    return failed(withheldStub, fields)
  }
}
