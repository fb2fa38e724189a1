export type AttributeValue = string | number | boolean | readonly string[]

/** A span that has ended. Ids are computed from ours (`span-ids.ts`), so a redelivery or another process tells the same span. */
export interface SpanRecord {
  readonly traceId: string
  readonly spanId: string
  /** null: the root of its trace */
  readonly parentId: string | null
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client' | 'consumer'
  readonly startMs: number
  readonly endMs: number
  /** Undefined and null are left out. Never content: no prompt, answer, argument or result. */
  readonly attributes: Readonly<Record<string, AttributeValue | null | undefined>>
  /** `error.type`: a code of ours; null: it went well */
  readonly error: string | null
  readonly links?: readonly SpanLink[]
}

export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
}

/** Where components tell what has happened, after it is durable. */
export interface Tracer {
  /** false: nobody listens, so nothing need be computed */
  readonly on: boolean
  /** When this process began: what is older may have been lost with the one before. */
  readonly since: Date
  /** Never throws, never waits. */
  record(spans: readonly SpanRecord[]): void
}

export const noTracer: Tracer = { on: false, since: new Date(0), record() {} }
