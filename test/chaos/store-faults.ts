import { setTimeout as delay } from 'node:timers/promises'
import { closed, type FaultKind, network, slow } from './fault.ts'
import type { PostgresServer } from './postgres-server.ts'
import type { RedisServer } from './redis-server.ts'
import type { World } from './world.ts'

const toPostgres = ({ proxies }: World) => proxies.postgres
const toRedis = ({ proxies }: World) => proxies.redis
const lasts = { min: 200, max: 3_000 } as const

function postgresEnds(name: string, signal: 'SIGQUIT' | 'SIGINT' | 'SIGKILL'): FaultKind {
  return {
    name,
    weight: 1,
    beside: false,
    unfit: ({ postgres }) => (postgres === null ? false : null),
    async inflict(world, random) {
      const restMs = random.between(0, 2_000)
      const postgres = serverOf(world.postgres)
      await postgres.end(signal)
      const mend = async () => {
        await delay(restMs)
        await postgres.start()
      }
      return { what: `started again after ${Math.round(restMs)} ms`, over: mend() }
    },
  }
}

const backend: FaultKind = {
  name: 'postgres: kill -9 of a backend',
  weight: 1,
  beside: false,
  unfit: ({ postgres }) => (postgres === null ? false : null),
  inflict({ postgres }, random) {
    const server = serverOf(postgres)
    const hit = server.killBackend((pids) => random.pick(pids))
    return Promise.resolve({ what: hit ? 'all backends ended' : 'there was none', over: server.ready() })
  },
}

function redisEnds(name: string, weight: number, forgets: boolean): FaultKind {
  return {
    name,
    weight,
    beside: false,
    unfit: ({ redis }) => (redis === null ? false : null),
    async inflict({ redis }, random) {
      const restMs = random.between(0, 2_000)
      const server: RedisServer = serverOf(redis)
      await server.kill()
      if (forgets) await server.forget()
      const mend = async () => {
        await delay(restMs)
        await server.start()
      }
      return { what: `started again after ${Math.round(restMs)} ms`, over: mend() }
    },
  }
}

function serverOf<T extends PostgresServer | RedisServer>(server: T | null): T {
  if (server === null) throw new Error('this configuration has no such server')
  return server
}

export const storeFaults: readonly FaultKind[] = [
  postgresEnds('postgres: immediate restart', 'SIGQUIT'),
  postgresEnds('postgres: fast restart', 'SIGINT'),
  postgresEnds('postgres: kill -9 of the server', 'SIGKILL'),
  backend,
  network('postgres: connections cut', 1, toPostgres, closed, lasts),
  network('postgres: slow connections', 1, toPostgres, slow, { min: 2_000, max: 6_000 }),
  redisEnds('redis: kill -9', 2, false),
  redisEnds('redis: kill -9 and its data gone', 2, true),
  network('redis: connections cut', 1, toRedis, closed, lasts),
  network('redis: slow connections', 1, toRedis, slow, { min: 2_000, max: 6_000 }),
]
