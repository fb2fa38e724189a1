import { spawnSync } from 'node:child_process'
import { afterAll } from 'vitest'
import { TestRedis } from './redis-server.ts'

/**
 * A Redis server that belongs to this test file, or null, with the reason printed, when the machine has none. With `redis` in
 * GUILD_TEST_REQUIRE its absence fails. It ends with the file.
 */
export async function testRedis(): Promise<TestRedis | null> {
  started ??= start('server')
  return started
}

/** The same as a cluster of one node: it refuses what a larger one would refuse. */
export async function testRedisCluster(): Promise<TestRedis | null> {
  clustered ??= start('cluster')
  return clustered
}

let started: Promise<TestRedis | null> | undefined
let clustered: Promise<TestRedis | null> | undefined
afterAll(async () => {
  for (const server of [await started, await clustered]) await server?.[Symbol.asyncDispose]()
})

async function start(mode: 'server' | 'cluster'): Promise<TestRedis | null> {
  if (spawnSync('redis-server', ['--version']).status === 0) return TestRedis.start(mode)
  const reason = 'no redis-server on the PATH'
  if (process.env['GUILD_TEST_REQUIRE']?.includes('redis')) throw new Error(reason)
  process.stderr.write(`skipped: tests on a Redis server (${reason}; apt-get install redis-server)\n`)
  return null
}
