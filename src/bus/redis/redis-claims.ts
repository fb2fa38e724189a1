import { randomBytes } from 'node:crypto'
import type { Log } from '../../kernel/log.ts'
import type { RedisCommands } from '../../redis/redis.ts'
import type { Claim, Claimed, ClaimStore, Outcome, Settled } from '../claims.ts'
import { priorityOf } from '../message-rules.ts'
import { listOf, type RedisKeys, scripts } from './redis-keys.ts'
import type { RedisWakes } from './redis-wakes.ts'

interface Handle {
  readonly member: string
  readonly token: string
}

export interface RedisClaimsDeps {
  readonly redis: RedisCommands
  readonly keys: RedisKeys
  readonly groupId: string
  readonly leaseMs: number
  readonly wakes: RedisWakes
  /** '': the server's own time, which all processes share */
  readonly now: () => string
  /** Creates the group again after the server has lost its data. */
  readonly recreate: () => Promise<void>
  readonly log: Log
}

/** Of bodies, in one claim; one message may be larger. The server does nothing else while it puts an answer together. */
const claimBytesMax = 32 * 1024 * 1024

/** The claims of one consumer: one round trip each. */
export class RedisClaims implements ClaimStore<Handle> {
  readonly #deps: RedisClaimsDeps
  /** Random, so that no claim from before a loss of data is taken for one from after it. */
  readonly #consumer = randomBytes(9).toString('base64url')
  #claims = 0

  constructor(deps: RedisClaimsDeps) {
    this.#deps = deps
  }

  onWake(wake: () => void): () => void {
    return this.#deps.wakes.add(this.#deps.groupId, wake)
  }

  async claim(max: number): Promise<Claimed<Handle>> {
    const claimed = await this.#claim(max)
    if (claimed !== null) return claimed
    const { recreate, log, groupId } = this.#deps
    log.warn({ group: groupId }, 'redis has lost the group, creating it again')
    await recreate()
    return (await this.#claim(max)) ?? { claims: [], nextDueMs: 0 }
  }

  async extend(claims: readonly Claim<Handle>[]): Promise<readonly Claim<Handle>[]> {
    const { redis, keys, groupId, leaseMs, now } = this.#deps
    const held = claims.flatMap(({ handle }) => [handle.member, handle.token])
    const lost = await redis.run(scripts.extend, [keys.groups], [groupId, String(leaseMs), now(), ...held])
    const places = new Set(listOf(lost).map(Number))
    return claims.filter((_, place) => places.has(place))
  }

  async settle(outcomes: readonly Outcome<Handle>[], leaving: boolean): Promise<Settled> {
    const { redis, keys, groupId, wakes, now } = this.#deps
    const acks = outcomes.filter(({ kind }) => kind === 'ack').map(({ claim }) => claim.handle)
    const others = outcomes.filter(({ kind }) => kind !== 'ack').flatMap(otherOf)
    const reply = await redis.run(
      scripts.settle,
      [keys.groups, keys.topics, keys.clock],
      [
        groupId,
        now(),
        leaving ? '1' : '',
        String(acks.length),
        ...acks.map(({ member }) => member),
        ...acks.map(({ token }) => token),
        ...others,
      ],
    )
    const [settled = 0, ready = 0] = listOf(reply).map(Number)
    // Another consumer of this process may have more room for what has become ready.
    if (ready > 1 && !leaving) wakes.wake([groupId])
    return { settled, ready }
  }

  /** Not sent together: what the second claims would wait for its lease should the first be refused. */
  async settleAndClaim(outcomes: readonly Outcome<Handle>[], max: number): Promise<Settled & Claimed<Handle>> {
    return { ...(await this.settle(outcomes, false)), ...(await this.claim(max)) }
  }

  /** @returns null: there is no such group */
  async #claim(max: number): Promise<Claimed<Handle> | null> {
    const { redis, keys, groupId, leaseMs, now, log } = this.#deps
    this.#claims += 1
    const token = `${this.#consumer}.${this.#claims}`
    const reply = await redis.run(
      scripts.claim,
      [keys.groups],
      [groupId, String(max), String(leaseMs), now(), token, String(claimBytesMax)],
    )
    if (reply === null) return null
    const [dueMs, missing, ...rest] = listOf(reply)
    if (Number(missing) > 0) {
      log.error({ group: groupId, missing: Number(missing) }, 'messages are missing from the log of the bus')
    }
    const claims: Claim<Handle>[] = []
    for (let at = 0; at < rest.length; at += 5) claims.push(claimOf(rest.slice(at, at + 5).map(String), token))
    return { claims, nextDueMs: Number(dueMs) < 0 ? null : Number(dueMs) }
  }
}

function claimOf([member = '', attempt, id = '', at, body = '']: readonly string[], token: string): Claim<Handle> {
  // As `member_of` of shared.lua writes it.
  const [topic = '', key = null] = member.slice(44).split('\0')
  const priority = priorityOf(Number(member[25]))
  return {
    handle: { member, token },
    body,
    delivery: { id, topic, key, priority, attempt: Number(attempt), publishedAt: new Date(Number(at)) },
  }
}

function otherOf(outcome: Outcome<Handle>): readonly string[] {
  const { member, token } = outcome.claim.handle
  const delayMs = outcome.kind === 'return' ? outcome.delayMs : 0
  const reason = outcome.kind === 'return' || outcome.kind === 'dead' ? outcome.reason : ''
  return [member, token, outcome.kind, String(delayMs), reason]
}
