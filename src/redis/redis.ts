import { GuildError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Secret } from '../kernel/secret.ts'
import { clusterDriver, type Driver, serverDriver } from './redis-driver.ts'
import { isNoScript, redisFailure } from './redis-failure.ts'
import { readRedisUrl } from './redis-url.ts'
import type { Script } from './script.ts'

export interface RedisOptions {
  /** as `readRedisUrl` takes it */
  readonly url: Secret
  /** the setting it came from, for errors */
  readonly setting: 'REDIS_URL' | 'EVENT_BUS_URL'
  readonly log: Log
  /** A command that takes longer is given up; whether it ran is then unknown. Default 10 000. */
  readonly commandMs?: number
  /** The connection was lost and is back. Not told by a cluster. */
  readonly onReconnect?: () => void
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

/**
 * One connection to a Redis server or cluster (and a second one once something listens). Reconnects by itself, for ever, with bounded
 * back-off; meanwhile commands fail at once with GUILD_REDIS_UNAVAILABLE (retryable) instead of piling up. Commands sent in one turn
 * of the event loop travel together.
 */
export class Redis implements RedisCommands, AsyncDisposable {
  /** for people: without credentials */
  readonly shown: string
  readonly #driver: Driver
  readonly #connected: Promise<unknown>
  readonly #commandMs: number

  /** @throws GUILD_CONFIG_INVALID, GUILD_REDIS_UNAVAILABLE when the server does not answer in time */
  static async open(options: RedisOptions & { readonly connectMs?: number }): Promise<Redis> {
    const redis = Redis.start(options)
    try {
      await redis.ready(options.connectMs ?? 10_000)
    } catch (error) {
      redis.#driver.destroy()
      throw error
    }
    return redis
  }

  /** Begins to connect and goes on until it is closed; for those that can do something without Redis. @throws GUILD_CONFIG_INVALID */
  static start({ url, setting, log, commandMs = 10_000, onReconnect }: RedisOptions): Redis {
    const address = readRedisUrl(url.reveal(), setting)
    const driver = address.cluster ? clusterDriver(address, log) : serverDriver(address, log, onReconnect)
    const connected = driver.connect()
    connected.catch(() => undefined) // closed before it was connected: `ready` has told why
    return new Redis(driver, connected, address.shown, commandMs)
  }

  private constructor(driver: Driver, connected: Promise<unknown>, shown: string, commandMs: number) {
    this.#driver = driver
    this.#connected = connected
    this.shown = shown
    this.#commandMs = commandMs
  }

  /** Resolves once the first connection stands. @throws GUILD_REDIS_UNAVAILABLE after `limitMs` */
  async ready(limitMs: number): Promise<void> {
    try {
      await within(this.#connected, limitMs, () => this.#driver.lastFailure() ?? `no answer within ${limitMs} ms`)
    } catch (error) {
      throw redisFailure(error, 'connect')
    }
  }

  get isReady(): boolean {
    return this.#driver.isReady()
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
    const listening = this.#driver.listen(channel, onMessage, onGap)
    try {
      return await within(listening, this.#commandMs)
    } catch (error) {
      // Given up, but not forgotten: it may still come about, and the caller will have asked again by then.
      void unlisten(listening)
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

async function unlisten(listening: Promise<() => Promise<void>>): Promise<void> {
  try {
    const stop = await listening
    await stop()
  } catch {
    // It did not come about after all, or has ended with its connection.
  }
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
