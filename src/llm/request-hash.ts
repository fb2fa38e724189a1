import { z } from 'zod'
import { canonical, canonicalHash } from '../kernel/canonical.ts'
import { sha256 } from '../kernel/ids.ts'
import type { LlmMessage, LlmRequest } from './llm.ts'

type Asked = Omit<LlmRequest, 'provider' | 'model' | 'facts'>

/** The same question asked by another run, on another day, of another model, has the same hash. */
export function requestHash(request: Asked): string {
  const asked = asAsked(request)
  const text = canonical(asked)
  if (!holdsId(text)) return sha256(text)
  // In a name an id decides the order too.
  return someNameHoldsId(asked) ? canonicalHash(questionOf(request)) : sha256(text.replaceAll(ourIds, '$1_…'))
}

function someNameHoldsId(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(someNameHoldsId)
  return Object.entries(value).some(([name, member]) => holdsId(name) || someNameHoldsId(member))
}

/** A search for one character passes over pages of text in no time; the pattern would try each of them. */
function holdsId(text: string): boolean {
  for (let at = text.indexOf('_'); at >= 0; at = text.indexOf('_', at + 1)) {
    idBody.lastIndex = at
    if (idBody.test(text)) return true
  }
  return false
}

const idBody = /_[0-9a-hjkmnp-tv-z]{26}/y
const ourIds = /\b(evt|inv|act|ntf|rcv|apr|aud|res|dec|msg)_[0-9a-hjkmnp-tv-z]{26}\b/g

export function questionOf(request: Asked): object {
  const text = JSON.stringify(asAsked(request)).replaceAll(ourIds, '$1_…')
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
}

function asAsked({ system, messages, tools, maxOutputTokens, temperature, output }: Asked): object {
  const order = new Map<string, string>()
  const position = (id: string): string => {
    const known = order.get(id) ?? `call-${order.size + 1}`
    order.set(id, known)
    return known
  }
  const told = messages.map((message) => anonymous(message, position))
  return { system, messages: told, tools, output, maxOutputTokens, temperature }
}

/** Call ids are the vendor's dice; only which result belongs to which call matters. Opaque parts are its ciphertext. */
function anonymous(message: LlmMessage, position: (id: string) => string): object {
  switch (message.role) {
    case 'user':
      return message
    case 'assistant':
      return {
        role: message.role,
        text: message.text,
        toolCalls: message.toolCalls.map((call) => ({ ...call, id: position(call.id) })),
      }
    case 'tool':
      return { ...message, results: message.results.map((one) => ({ ...one, callId: position(one.callId) })) }
  }
}
