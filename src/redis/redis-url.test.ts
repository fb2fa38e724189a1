import { expect, it } from 'vitest'
import { readRedisUrl } from './redis-url.ts'

it.each([
  [
    'redis://cache',
    { host: 'cache', port: 6379, database: 0, tls: false, cluster: false, shown: 'redis://cache:6379' },
  ],
  [
    'rediss://ann:p%40ss@cache:7000/3',
    { username: 'ann', password: 'p@ss', port: 7000, database: 3, tls: true, shown: 'rediss://cache:7000/3' },
  ],
  ['redis://:hidden@[::1]:6380?cluster=true', { host: '::1', password: 'hidden', cluster: true }],
])('reads %s', (url, expected) => {
  expect(readRedisUrl(url, 'REDIS_URL')).toMatchObject(expected)
})

it.each([
  ['amqp://:hidden@host', 'a Redis URL begins with redis:// or rediss://'],
  ['redis:', 'it names no host; write redis://host:6379'],
  ['redis:///0', 'it names no host; write redis://host:6379'],
  ['redis://:hidden@host:port', 'it names no host; write redis://host:6379'],
  ['redis://:hidden@host/first', 'what follows the host is the number of a database, as in redis://host/0'],
  ['redis://:hidden@host?db=1', 'after the question mark it takes cluster=true and nothing else'],
  ['redis://:hidden@host/1?cluster=true', 'a Redis Cluster has no other database than 0'],
  ['redis://:hid%den@host', 'its user or password holds a % that is not followed by two hexadecimal digits; write %25'],
])('refuses %s, says why and repeats no password', (url, why) => {
  expect(() => readRedisUrl(url, 'REDIS_URL')).toThrow(`REDIS_URL is not valid: ${why}`)
})
