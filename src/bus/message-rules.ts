import { GuildError } from '../kernel/errors.ts'
import { priorities, type Priority } from '../kernel/event.ts'
import { bodyBytesMax, type BusMessage, type Subscription } from './bus.ts'

/** A message as every adapter stores it. */
export interface WireMessage {
  readonly id: string
  readonly key: string | null
  /** 0 is CRITICAL */
  readonly lane: number
  readonly notBefore: Date | null
  /** JSON */
  readonly body: string
}

/** Waiting this long is worth one lane. */
export const laneMs = 30_000
export const messagesPerPublishMax = 10_000
const nameCharsMax = 1_000

/** @throws GUILD_MESSAGE_INVALID for what some adapter could not carry, before anything is written */
export function toWire(topic: string, messages: readonly BusMessage[]): readonly WireMessage[] {
  if (topic.endsWith('*')) throw invalid(topic, '-', 'a prefix is no topic to publish on')
  checkName(topic, topic, '-', 'its topic')
  if (messages.length > messagesPerPublishMax) {
    throw invalid(topic, '-', `more than ${messagesPerPublishMax} messages at once`)
  }
  return messages.map((message) => {
    checkName(message.id, topic, message.id, 'its id')
    if (message.key !== undefined) checkName(message.key, topic, message.id, 'its key')
    return {
      id: message.id,
      key: message.key ?? null,
      lane: priorities.indexOf(message.priority ?? 'NORMAL'),
      notBefore: message.notBefore ?? null,
      body: bodyOf(topic, message),
    }
  })
}

/** `guild.events.agent.*` matches every topic that begins with what stands before the star. */
export function matchesTopic(pattern: string, topic: string): boolean {
  return pattern.endsWith('*') ? topic.startsWith(pattern.slice(0, -1)) : topic === pattern
}

/** Milliseconds; smaller goes first. The order of two messages never changes while they wait. */
export function rankOf(lane: number, waitingSince: Date): number {
  return waitingSince.getTime() + lane * laneMs
}

export function priorityOf(lane: number): Priority {
  return priorities[lane] ?? 'BACKGROUND'
}

/** A subscription with every default filled in. */
export function subscriptionOf(subscription: Subscription): Required<Subscription> {
  const { topic, group, maxInFlight } = subscription
  const full = { batchMax: 1, attemptsMax: 10, leaseMs: 15_000, from: 'earliest' as const, ...subscription }
  const wrong = [
    ['maxInFlight', maxInFlight],
    ['batchMax', full.batchMax],
    ['attemptsMax', full.attemptsMax],
    ['leaseMs', full.leaseMs],
  ].find(([, value]) => !(Number.isInteger(value) && Number(value) >= 1))
  if (wrong) {
    throw new GuildError('GUILD_INTERNAL', { why: `${group} on ${topic} subscribes with ${wrong[0]} = ${wrong[1]}` })
  }
  return { ...full, batchMax: Math.min(full.batchMax, maxInFlight) }
}

function bodyOf(topic: string, { id, body }: BusMessage): string {
  let json: string | undefined
  try {
    json = JSON.stringify(body) as string | undefined
  } catch (error) {
    throw invalid(topic, id, 'its body is not JSON', error)
  }
  if (json === undefined) throw invalid(topic, id, 'its body is not JSON')
  // Three bytes a character is the most UTF-8 needs here, so that most bodies are never measured.
  if (json.length * 3 > bodyBytesMax && Buffer.byteLength(json) > bodyBytesMax) {
    throw invalid(topic, id, `its body is larger than ${bodyBytesMax} bytes`)
  }
  return json
}

function checkName(name: string, topic: string, id: string, what: string): void {
  if (name === '') throw invalid(topic, id, `${what} is empty`)
  if (name.length > nameCharsMax) throw invalid(topic, id.slice(0, 100), `${what} is too long`)
  if (name.includes('\0') || !name.isWellFormed()) throw invalid(topic, '-', `${what} is not well-formed text`)
}

function invalid(topic: string, id: string, why: string, cause?: unknown): GuildError {
  return new GuildError('GUILD_MESSAGE_INVALID', { topic: topic.slice(0, 100), id, why }, { cause })
}
