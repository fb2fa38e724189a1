import { createClient, createCluster } from '@redis/client'
import { backoffMs } from '../kernel/backoff.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Secret } from '../kernel/secret.ts'
import { isNoScript, redisFailure } from './redis-failure.ts'
import { readRedisUrl, type RedisAddress } from './redis-url.ts'
import type { Script } from './script.ts'

export interface RedisOptions {
  /** as `readRedisUrl` takes it */
  readonly url: Secret
  /** the setting it came from, for errors */
  readonly setting: 'REDIS_URL' | 'EVENT_BUS_URL'
  readonly log: Log
  /** A command that takes longer is given up; whether it ran is then unknown. Default 10 000. */
  readonly commandMs?: number
  /** How long `open` waits for the server. Default 10 000. */
  readonly connectMs?: number
}

/** What adapters ask of Redis; a test may put something in between. */
export interface RedisCommands {
  /** @param key one of its keys: says which node of a cluster it goes to */
  command(key: string, args: readonly [string, ...string[]]): Promise<unknown>
  /** Runs a script by its hash; the text follows when the server does not know it (restarted, SCRIPT FLUSH). */
  run(script: Script, keys: readonly [string, ...string[]], args: readonly string[]): Promise<unknown>
  /**
   * Messages of a channel, over a connection that is used for nothing else.
   * @param onGap the connection was lost and is back: messages may have passed by
   * @returns stops
   */
  listen(channel: string, onMessage: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>>
}

const reconnect = { baseMs: 50, maxMs: 2_000 }
/** A connection on which nothing moves for so long is dead, pings included. */
const silenceMs = 15_000
const pingMs = 5_000
const closeMs = 2_000

/**
 * One connection to a Redis server or cluster (and a second one once something listens). Reconnects by itself, for ever, with bounded
 * back-off; meanwhile commands fail at once with GUILD_REDIS_UNAVAILABLE (retryable) instead of piling up. Commands sent in one turn
 * of the event loop travel together.
 */
export class Redis implements RedisCommands, AsyncDisposable {
  /** for people: without credentials */
  readonly shown: string
  readonly #driver: Driver
  readonly #commandMs: number

  /** @throws GUILD_CONFIG_INVALID, GUILD_REDIS_UNAVAILABLE when the server does not answer in time */
  static async open(options: RedisOptions): Promise<Redis> {
    const address = readRedisUrl(options.url.reveal(), options.setting)
    const { log, connectMs = 10_000, commandMs = 10_000 } = options
    const driver = address.cluster ? clusterDriver(address, log) : serverDriver(address, log)
    try {
      await within(driver.connect(), connectMs, () => driver.lastFailure() ?? `no answer within ${connectMs} ms`)
    } catch (error) {
      driver.destroy()
      throw redisFailure(error, 'connect')
    }
    return new Redis(driver, address.shown, commandMs)
  }

  private constructor(driver: Driver, shown: string, commandMs: number) {
    this.#driver = driver
    this.shown = shown
    this.#commandMs = commandMs
  }

  async command(key: string, args: readonly [string, ...string[]]): Promise<unknown> {
    try {
      return await this.#send(key, args)
    } catch (error) {
      throw redisFailure(error, args[0])
    }
  }

  async run(script: Script, keys: readonly [string, ...string[]], args: readonly string[]): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.#send(keys[0], ['EVALSHA', script.sha, ...rest])
    } catch (error) {
      if (!isNoScript(error)) throw redisFailure(error, script.name)
    }
    try {
      return await this.#send(keys[0], ['EVAL', script.text, ...rest])
    } catch (error) {
      throw redisFailure(error, script.name)
    }
  }

  async listen(channel: string, onMessage: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>> {
    try {
      return await within(this.#driver.listen(channel, onMessage, onGap), this.#commandMs)
    } catch (error) {
      throw redisFailure(error, 'SUBSCRIBE')
    }
  }

  /** Waits, not for long, for the answers that are still out. */
  async close(): Promise<void> {
    await this.#driver.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #send(key: string, args: readonly string[]): Promise<unknown> {
    return within(this.#driver.send(key, args), this.#commandMs)
  }
}

/** One server and a cluster, alike. */
interface Driver {
  connect(): Promise<unknown>
  send(key: string, args: readonly string[]): Promise<unknown>
  listen(channel: string, onMessage: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>>
  /** why the last attempt to connect failed */
  lastFailure(): string | undefined
  close(): Promise<void>
  destroy(): void
}

interface Closable {
  readonly isOpen: boolean
  close(): Promise<unknown>
  destroy(): void
}

function serverDriver(address: RedisAddress, log: Log): Driver {
  const failures = new Failures(address.shown, log)
  const client = createClient({ ...connection(address), database: address.database })
  client.on('error', (error: unknown) => failures.note(error))
  client.on('ready', () => failures.over())
  let listening: Promise<typeof client> | undefined
  let listener: typeof client | undefined
  const gaps = new Set<() => void>()
  const openListener = async () => {
    listener = client.duplicate()
    listener.on('error', (error: unknown) => failures.note(error))
    await listener.connect()
    listener.on('ready', () => {
      for (const onGap of gaps) onGap()
    })
    return listener
  }
  return {
    connect: () => client.connect(),
    send: (_, args) => client.sendCommand(args),
    async listen(channel, onMessage, onGap) {
      const open = await (listening ??= openListener())
      const onPayload = (payload: string) => onMessage(payload)
      await open.subscribe(channel, onPayload)
      gaps.add(onGap)
      return async () => {
        gaps.delete(onGap)
        if (open.isReady) await open.unsubscribe(channel, onPayload)
      }
    },
    lastFailure: () => failures.last,
    async close() {
      await Promise.all([closeClient(client), ...(listener ? [closeClient(listener)] : [])])
    },
    destroy() {
      for (const each of [client, listener]) if (each?.isOpen) each.destroy()
    },
  }
}

/** A cluster carries pub/sub on a connection of its own already, and finds a new node for it; nobody tells of a gap. */
function clusterDriver(address: RedisAddress, log: Log): Driver {
  const failures = new Failures(address.shown, log)
  const { socket, ...defaults } = connection(address)
  const { host, port, ...common } = socket
  const cluster = createCluster({
    rootNodes: [{ socket: { host, port, ...common }, ...defaults }],
    defaults: { ...defaults, socket: common },
  })
  cluster.on('error', (error: unknown) => failures.note(error))
  return {
    connect: () => cluster.connect(),
    send: (key, args) => cluster.sendCommand(key, false, [...args]),
    async listen(channel, onMessage) {
      const onPayload = (payload: string | Buffer) => onMessage(String(payload))
      await cluster.subscribe(channel, onPayload)
      return async () => cluster.unsubscribe(channel, onPayload)
    },
    lastFailure: () => failures.last,
    close: () => closeClient(cluster),
    destroy() {
      if (cluster.isOpen) cluster.destroy()
    },
  }
}

function connection({ host, port, tls, username, password }: RedisAddress) {
  const socket = {
    host,
    port,
    connectTimeout: 5_000,
    socketTimeout: silenceMs,
    reconnectStrategy: (retries: number) => backoffMs(retries + 1, reconnect, Math.random()),
  }
  return {
    socket: tls ? { ...socket, tls: true as const } : socket,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    name: 'guild',
    pingInterval: pingMs,
    disableOfflineQueue: true,
    // A feature of Redis Enterprise that every connection would ask for in vain.
    maintNotifications: 'disabled' as const,
  }
}

/** One line when the server is lost and one when it is back, not one for every attempt. */
class Failures {
  readonly #shown: string
  readonly #log: Log
  last: string | undefined
  #lost = false

  constructor(shown: string, log: Log) {
    this.#shown = shown
    this.#log = log
  }

  note(error: unknown): void {
    this.last = reasonOf(error)
    if (!this.#lost) this.#log.warn({ redis: this.#shown, why: this.last }, 'redis is lost, connecting again')
    this.#lost = true
  }

  over(): void {
    if (this.#lost) this.#log.info({ redis: this.#shown }, 'redis is back')
    this.#lost = false
  }
}

async function closeClient(client: Closable): Promise<void> {
  if (!client.isOpen) return
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, closeMs)
  const closed = client.close().then(
    () => undefined,
    () => undefined, // it was lost before: nothing is left to close
  )
  await Promise.race([closed, late])
  clearTimeout(timer)
  if (client.isOpen) client.destroy()
}

async function within<T>(work: Promise<T>, limitMs: number, why = () => `no answer within ${limitMs} ms`): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new GuildError('GUILD_REDIS_UNAVAILABLE', { why: why() })), limitMs)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
