import { z } from 'zod'

/** What can go wrong with one call; `…-after-write` means that the call has done its work and nobody hears of it. */
export const faultKinds = [
  'status-401',
  'status-403',
  'status-404',
  'status-422',
  'status-429',
  'status-500',
  'status-502',
  'secondary-limit',
  'hang',
  'hang-after-write',
  'reset',
  'reset-after-write',
  'status-500-after-write',
  'slow',
] as const
export type FaultKind = (typeof faultKinds)[number]

export const faultSchema = z.strictObject({
  match: z
    .string()
    .regex(/^(\*|[A-Z]+) \/\S{0,500}$/, '`METHOD /path`; * stands for any method, or any part of a path'),
  kind: z.enum(faultKinds),
  times: z.int().min(1).max(1_000_000).default(1),
  retryAfterSeconds: z.int().min(0).max(86_400).default(1).describe('of status-429 and secondary-limit'),
  delayMs: z.int().min(0).max(600_000).default(1_000).describe('of slow'),
})
export type Fault = z.input<typeof faultSchema>
type Armed = z.output<typeof faultSchema>

export interface FaultAnswer {
  readonly status: number
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

/** Failures to come, in the order they were asked for. */
export class Faults {
  #armed: { fault: Armed; left: number }[] = []

  add(fault: Fault): void {
    const armed = faultSchema.parse(fault)
    this.#armed.push({ fault: armed, left: armed.times })
  }

  clear(): void {
    this.#armed = []
  }

  list(): readonly (Armed & { readonly left: number })[] {
    return this.#armed.map(({ fault, left }) => ({ ...fault, left }))
  }

  /** The first that fits, once less. */
  take(method: string, path: string): Armed | null {
    const found = this.#armed.find(({ fault }) => fits(fault.match, method, path))
    if (!found) return null
    found.left -= 1
    if (found.left === 0) this.#armed = this.#armed.filter((one) => one !== found)
    return found.fault
  }
}

/** What GitHub says in that case; null for failures without an answer. */
export function faultAnswer({ kind, retryAfterSeconds }: Armed): FaultAnswer | null {
  const wait = { 'retry-after': String(retryAfterSeconds) }
  switch (kind) {
    case 'status-401':
      return { status: 401, message: 'Bad credentials', headers: {} }
    case 'status-403':
      return { status: 403, message: 'Resource not accessible by integration', headers: {} }
    case 'status-404':
      return { status: 404, message: 'Not Found', headers: {} }
    case 'status-422':
      return { status: 422, message: 'Validation Failed', headers: {} }
    case 'status-429':
      return { status: 429, message: 'API rate limit exceeded', headers: wait }
    case 'secondary-limit': {
      const message = 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.'
      return { status: 403, message, headers: wait }
    }
    case 'status-500':
    case 'status-500-after-write':
      return { status: 500, message: 'Server Error', headers: {} }
    case 'status-502':
      return { status: 502, message: 'Server Error', headers: {} }
    default:
      return null
  }
}

function fits(match: string, method: string, path: string): boolean {
  const [wantedMethod, wantedPath = ''] = match.split(' ')
  return (wantedMethod === '*' || wantedMethod === method) && globFits(wantedPath, path)
}

/** `*` stands for any text. Each part is looked for once, from left to right. */
function globFits(glob: string, text: string): boolean {
  const [first = '', ...rest] = glob.split('*')
  if (rest.length === 0) return glob === text
  if (!text.startsWith(first)) return false
  let at = first.length
  const last = rest.pop() ?? ''
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
