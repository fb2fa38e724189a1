import { type DestinationStream, pino } from 'pino'
import type { Settings } from '../config/settings.ts'
import { type Redactor, standardRedactor, withheldStub } from '../guards/privacy/redact.ts'
import type { JsonObject } from '../kernel/json.ts'

/** A longer line is a mistake, and looking at it would cost more than the log is worth. */
const lineLengthMax = 64 * 1024

/**
 * JSON lines on stderr, so that stdout stays for what a command prints. Header names that carry secrets never pass, and whatever else
 * the privacy guard takes for a secret is taken out of the finished line: of messages, fields at any depth, and stacks.
 */
export function logger(
  settings: Pick<Settings, 'logLevel'>,
  redactor: Redactor = standardRedactor,
  destination: DestinationStream = pino.destination({ fd: 2, sync: false }),
  /** in every line: which process speaks, where several write to one place */
  process: { readonly role: string; readonly instance: string } | null = null,
) {
  return pino(
    {
      level: settings.logLevel,
      base: process,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: [
          'req.headers.authorization',
          'req.headers.cookie',
          'headers.authorization',
          'headers.cookie',
          '*.token',
          '*.secret',
          '*.apiKey',
        ],
        censor: '[secret]',
      },
      hooks: { streamWrite: (line) => cleanLine(line, redactor) },
    },
    destination,
  )
}

/** Where the guard fails the line says only that: level and time stay, what it would have said does not. */
function cleanLine(line: string, redactor: Redactor): string {
  const failed = (why: string, head: JsonObject = {}) =>
    `${JSON.stringify({ level: head['level'] ?? 50, time: head['time'] ?? null, msg: why })}\n`
  let fields: JsonObject
  try {
    if (line.length > lineLengthMax) return failed(`[withheld: a line of ${line.length} characters]`)
    fields = JSON.parse(line) as JsonObject // pino writes one object
  } catch {
    return failed('[withheld: a line that is no JSON]')
  }
  try {
    const { value, removed } = redactor.json(fields)
    return removed.length === 0 ? line : `${JSON.stringify(value)}\n`
  } catch {
    return failed(withheldStub, fields)
  }
}

export type Logger = ReturnType<typeof logger>
