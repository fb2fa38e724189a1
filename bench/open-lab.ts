import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate } from '../src/database/migrate.ts'
import { openHomeDatabase } from '../src/database/pglite/home-database.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { findPostgres, PostgresServer } from '../test/postgres-server.ts'
import type { Lab, Store, StoreKind } from './case.ts'
import { type AppendFsync, RedisServer } from './redis-server.ts'

export interface OpenLab extends Lab, AsyncDisposable {
  /** the servers that ran, with what a write costs there */
  durability(): readonly string[]
}

// What a small server of its own would be given. Durability is that of production; nothing else is tuned.
const postgresSettings = ['shared_buffers=512MB', 'max_wal_size=4GB']
const memory = 'shared_buffers 512 MB, max_wal_size 4 GB'

export function openLab(options: { quick: boolean; repetitions: number; say: (line: string) => void }): OpenLab {
  const stack = new AsyncDisposableStack()
  const notes = new Set<string>()
  const redis = new Map<AppendFsync, Promise<RedisServer | null>>()
  let postgres: Promise<PostgresServer> | undefined

  const startPostgres = async () => {
    const binaries = findPostgres()
    if (binaries === null) throw new Error('the benchmarks need PostgreSQL 15 or later: apt-get install postgresql')
    notes.add(`PostgreSQL: fsync on, synchronous_commit on, full_page_writes on, ${memory}`)
    return stack.use(await PostgresServer.start(binaries, { durability: 'full', settings: postgresSettings }))
  }
  const startRedis = async (appendfsync: AppendFsync) => {
    const server = await RedisServer.start(appendfsync)
    if (server === null)
      options.say('no redis-server on the PATH: nothing is measured on Redis (apt-get install redis)')
    else notes.add(`Redis: ${stack.use(server).settings}`)
    return server
  }
  const lab = {
    ...options,
    durability: () => [...notes],
    postgres: () => (postgres ??= startPostgres()),
    redis(appendfsync: AppendFsync) {
      const server = redis.get(appendfsync) ?? startRedis(appendfsync)
      redis.set(appendfsync, server)
      return server
    },
    async store(kind: StoreKind): Promise<Store> {
      if (kind === 'postgres') return storeOn(await (await lab.postgres()).newDatabase())
      notes.add('embedded: PGlite, no fsync (survives the process, not a power cut)')
      return embeddedStore()
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
  return lab
}

async function storeOn(url: string): Promise<Store> {
  const database = await PostgresDatabase.open({ url })
  return { database, at: { url }, [Symbol.asyncDispose]: () => database.close() }
}

async function embeddedStore(): Promise<Store> {
  const home = await mkdtemp(join(tmpdir(), 'guild-bench-'))
  const { db } = await openHomeDatabase(home)
  await migrate(db)
  return {
    database: db,
    at: { home },
    async [Symbol.asyncDispose]() {
      await db.close()
      await rm(home, { recursive: true, force: true })
    },
  }
}
