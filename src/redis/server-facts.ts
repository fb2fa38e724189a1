import type { RedisCommands } from './redis.ts'

/** What of a server's configuration matters to us. */
export interface ServerFacts {
  readonly version: string
  /** It writes what it is told to an append-only file. */
  readonly appendOnly: boolean
  /** It may throw keys away when its memory is full. */
  readonly evicts: boolean
}

/** @param key one of ours: says which node of a cluster is asked. From INFO, which hosted servers allow where they refuse CONFIG. */
export async function readServerFacts(redis: RedisCommands, key: string): Promise<ServerFacts> {
  const sections = ['server', 'persistence', 'memory']
  const texts = await Promise.all(sections.map((section) => redis.command(key, ['INFO', section])))
  const info = new Map([...texts.join('\n').matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]))
  return {
    version: info.get('redis_version') ?? 'unknown',
    appendOnly: info.get('aof_enabled') === '1',
    evicts: info.get('maxmemory') !== '0' && info.get('maxmemory_policy') !== 'noeviction',
  }
}

export function isTooOld({ version }: ServerFacts): boolean {
  return Number.parseInt(version, 10) < 7
}
