import { testRedis, testRedisCluster } from '../../../test/redis.ts'
import { busConformance } from '../conformance.ts'
import { redisHarness } from './redis-bus.conformance.ts'

const server = await testRedis()
if (server !== null) busConformance('RedisBus on a server', async () => redisHarness(await server.open()))

const cluster = await testRedisCluster()
if (cluster !== null) busConformance('RedisBus on a cluster', async () => redisHarness(await cluster.open()))
