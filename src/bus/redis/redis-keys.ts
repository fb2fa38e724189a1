import { GuildError } from '../../kernel/errors.ts'
import type { RedisCommands } from '../../redis/redis.ts'
import { script, type Script } from '../../redis/script.ts'

const load = (name: string): Script => script(import.meta.url, './shared.lua', `./${name}.lua`)

export const scripts = {
  publish: load('publish'),
  ensureGroup: load('ensure-group'),
  claim: load('claim'),
  extend: load('extend'),
  settle: load('settle'),
  due: load('due'),
  lag: load('lag'),
  replay: load('replay'),
  trim: load('trim'),
} as const

/**
 * Names of the keys; shared.lua says what each holds. The hash tag puts all of a bus on one node of a cluster, since one script changes
 * several topics and groups at once.
 */
export class RedisKeys {
  readonly #root: string
  readonly groups: string
  readonly topics: string
  readonly clock: string
  readonly wake: string

  /** @param name several guilds may share a server under different names */
  constructor(name: string) {
    this.#root = `{${name}}:bus`
    this.groups = `${this.#root}:groups`
    this.topics = `${this.#root}:topics`
    this.clock = `${this.#root}:clock`
    this.wake = `${this.#root}:wake`
  }

  stream(topic: string): string {
    return `${this.#root}:stream:${topic}`
  }
}

/** @throws GUILD_INTERNAL for a name that the id could not be taken apart from again */
export function groupIdOf(topic: string, group: string): string {
  if (group.includes('@')) throw new GuildError('GUILD_INTERNAL', { why: `the group ${group} has an @ in its name` })
  return `${group}@${topic}`
}

/** Replies of Redis, read at the border. */
export function listOf(reply: unknown): readonly unknown[] {
  if (Array.isArray(reply)) return reply as readonly unknown[]
  throw new GuildError('GUILD_INTERNAL', { why: `Redis answered with ${typeof reply} instead of a list` })
}

export function textsOf(reply: unknown): readonly string[] {
  return (reply instanceof Set ? [...(reply as ReadonlySet<unknown>)] : listOf(reply)).map(String)
}

/** A hash, in whichever shape the protocol brings it. */
export async function readHash(redis: RedisCommands, key: string): Promise<ReadonlyMap<string, string>> {
  const reply = await redis.command(key, ['HGETALL', key])
  if (reply instanceof Map) return reply as ReadonlyMap<string, string>
  if (!Array.isArray(reply)) return new Map(Object.entries(reply as Readonly<Record<string, string>>))
  const flat = textsOf(reply)
  return new Map(flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1] ?? ''] as const] : [])))
}
