/** One object and a short lower-case phrase; carries `traceId`, `eventId`, `agentId`, `invocationId` where known. Matches pino. */
export interface Log {
  debug(fields: object, phrase: string): void
  info(fields: object, phrase: string): void
  warn(fields: object, phrase: string): void
  error(fields: object, phrase: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
