import { z } from 'zod'
import { canonicalHash } from '../kernel/canonical.ts'
import type { LlmMessage, LlmRequest } from './llm.ts'

type Asked = Omit<LlmRequest, 'provider' | 'model' | 'facts'>

/** The same question asked by another run, on another day, of another model, has the same hash. */
export function requestHash(request: Asked): string {
  return canonicalHash(questionOf(request))
}

const ourIds = /\b(evt|inv|act|ntf|rcv|apr|aud|res|dec|msg)_[0-9a-hjkmnp-tv-z]{26}\b/g

export function questionOf({ system, messages, tools, maxOutputTokens, temperature, output }: Asked): object {
  const order = new Map<string, string>()
  const position = (id: string): string => {
    const known = order.get(id) ?? `call-${order.size + 1}`
    order.set(id, known)
    return known
  }
  const question = { system, messages: messages.map((message) => anonymous(message, position)), tools, output }
  const text = JSON.stringify({ ...question, maxOutputTokens, temperature }).replaceAll(ourIds, '$1_…')
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
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
