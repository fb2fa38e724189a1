import { type DestinationStream, pino } from 'pino'
import type { Settings } from '../config/settings.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import { CleanLines } from './clean-lines.ts'

/** Nobody reads a log sooner, and under load many lines are looked at together. */
const gatherMs = 20

/**
 * JSON lines on stderr, so that stdout stays for what a command prints. Secrets are taken out of the finished lines (clean-lines.ts).
 * @param given where the lines go instead, each at once
 */
export function logger(
  settings: Pick<Settings, 'logLevel'>,
  redactor: Redactor = standardRedactor,
  given?: DestinationStream,
  /** in every line: which process speaks, where several write to one place */
  process: { readonly role: string; readonly instance: string } | null = null,
) {
  const lines = given
    ? new CleanLines({ redactor, destination: given, gatherMs: 0 })
    : new CleanLines({ redactor, destination: pino.destination({ fd: 2, sync: false }), gatherMs })
  return pino({ level: settings.logLevel, base: process, timestamp: pino.stdTimeFunctions.isoTime }, lines)
}

export type Logger = ReturnType<typeof logger>
