import { GuildError } from '../kernel/errors.ts'

export interface RedisAddress {
  readonly host: string
  readonly port: number
  readonly database: number
  readonly username?: string
  readonly password?: string
  readonly tls: boolean
  /** The host is one node of a Redis Cluster; the others are asked for. */
  readonly cluster: boolean
  /** for people and logs: without credentials */
  readonly shown: string
}

/**
 * `redis://[user[:password]@]host[:port][/database][?cluster=true]`, `rediss:` for TLS.
 * @param name the setting it came from
 * @throws GUILD_CONFIG_INVALID, which never repeats the URL: it may carry a password
 */
export function readRedisUrl(text: string, name: string): RedisAddress {
  const refuse = (why: string) => new GuildError('GUILD_CONFIG_INVALID', { name, why })
  const scheme = /^(rediss?):/i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) throw refuse('a Redis URL begins with redis:// or rediss://')
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.hostname === '') throw refuse(`it names no host; write ${scheme}://host:6379`)
  const path = url.pathname.replace(/^\//, '')
  if (!/^\d{0,5}$/.test(path))
    throw refuse(`what follows the host is the number of a database, as in ${scheme}://host/0`)
  const cluster = clusterOf(url, refuse)
  const database = Number(path)
  if (cluster && database !== 0) throw refuse('a Redis Cluster has no other database than 0')
  const port = url.port === '' ? 6379 : Number(url.port)
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    database,
    tls: scheme === 'rediss',
    cluster,
    ...(url.username !== '' && { username: decoded(url.username, refuse) }),
    ...(url.password !== '' && { password: decoded(url.password, refuse) }),
    shown: `${scheme}://${url.hostname}:${port}${database === 0 ? '' : `/${database}`}${cluster ? '?cluster=true' : ''}`,
  }
}

function clusterOf(url: URL, refuse: (why: string) => GuildError): boolean {
  const unknown = [...url.searchParams.keys()].find((key) => key !== 'cluster')
  if (unknown !== undefined) throw refuse('after the question mark it takes cluster=true and nothing else')
  const value = url.searchParams.get('cluster') ?? 'false'
  if (value !== 'true' && value !== 'false') throw refuse('cluster takes true or false')
  return value === 'true'
}

function decoded(part: string, refuse: (why: string) => GuildError): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refuse('its user or password holds a % that is not followed by two hexadecimal digits; write %25')
  }
}
