import { Client, type ClientConfig } from 'pg'
import { backoffMs } from '../../kernel/backoff.ts'
import { systemClock } from '../../kernel/clock.ts'
import { databaseFailure } from '../failure.ts'

const backoff = { baseMs: 200, maxMs: 10_000 }

/** One connection that only listens, and comes back when it was lost. */
export class PostgresListener {
  readonly #config: ClientConfig
  readonly #callbacks = new Map<string, Set<(payload: string) => void>>()
  readonly #closed = new AbortController()
  #client: Promise<Client> | undefined
  #reconnecting: Promise<void> | undefined

  constructor(config: ClientConfig) {
    this.#config = config
  }

  async listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>> {
    const callbacks = this.#callbacks.get(channel) ?? new Set()
    this.#callbacks.set(channel, callbacks)
    callbacks.add(callback)
    try {
      await this.#reconnecting
      const client = await (this.#client ??= this.#connect())
      await client.query(listenText(channel))
    } catch (error) {
      callbacks.delete(callback)
      throw databaseFailure(error, 'LISTEN')
    }
    return () => Promise.resolve(void callbacks.delete(callback))
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#reconnecting
    // A connection that never came about has nothing to end.
    const client = await this.#client?.catch(() => undefined)
    await client?.end()
  }

  async #connect(): Promise<Client> {
    const client = new Client(this.#config)
    client.on('notification', ({ channel, payload }) => this.#call(channel, payload ?? ''))
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    try {
      await client.connect()
      for (const channel of this.#callbacks.keys()) await client.query(listenText(channel))
      return client
    } catch (error) {
      this.#client = undefined
      await client.end()
      throw error
    }
  }

  #lost(client: Client): void {
    if (this.#closed.signal.aborted || this.#reconnecting !== undefined) return
    const current = this.#client
    this.#reconnecting = (async () => {
      // A client that fails while it connects reports that to whoever connects.
      if (current === undefined || (await current.catch(() => undefined)) !== client) return
      await this.#reconnect()
    })().finally(() => {
      this.#reconnecting = undefined
    })
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closed
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      this.#client = this.#connect()
      const client = await this.#client.catch(() => undefined)
      if (client !== undefined) {
        for (const channel of this.#callbacks.keys()) this.#call(channel, '')
        return
      }
      await systemClock.sleep(backoffMs(attempt, backoff, Math.random()), signal)
    }
  }

  #call(channel: string, payload: string): void {
    for (const callback of this.#callbacks.get(channel) ?? []) callback(payload)
  }
}

function listenText(channel: string): string {
  return `LISTEN "${channel.replaceAll('"', '""')}"`
}
