import { createClient, createCluster } from '@redis/client'
import { backoffMs } from '../kernel/backoff.ts'
import { systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { RedisAddress } from './redis-url.ts'

const reconnect = { baseMs: 50, maxMs: 2_000 }
/** A connection on which nothing moves for so long is dead, pings included. */
const silenceMs = 15_000
const pingMs = 5_000
const closeMs = 2_000

/** One server and a cluster, alike. */
export interface Driver {
  connect(): Promise<unknown>
  isReady(): boolean
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

export function serverDriver(address: RedisAddress, log: Log, onReconnect?: () => void): Driver {
  const failures = new Failures(address.shown, log)
  const client = createClient({ ...connection(address), database: address.database })
  client.on('error', (error: unknown) => failures.note(error))
  let connections = 0
  client.on('ready', () => {
    failures.over()
    connections += 1
    if (connections > 1) onReconnect?.()
  })
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
    isReady: () => client.isReady,
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
export function clusterDriver(address: RedisAddress, log: Log): Driver {
  const failures = new Failures(address.shown, log)
  const { socket, ...defaults } = connection(address)
  const { host, port, ...common } = socket
  const cluster = createCluster({
    rootNodes: [{ socket: { host, port, ...common }, ...defaults }],
    defaults: { ...defaults, socket: common },
  })
  cluster.on('error', (error: unknown) => failures.note(error))
  const closed = new AbortController()
  // Unlike one server, a cluster gives up when no node answers at first.
  const connect = async () => {
    for (let attempt = 1; ; attempt++) {
      try {
        await cluster.connect()
        failures.over()
        return
      } catch (error) {
        failures.note(error)
        if (closed.signal.aborted) throw error
      }
      await systemClock.sleep(backoffMs(attempt, reconnect, Math.random()), closed.signal)
    }
  }
  return {
    connect,
    isReady: () => cluster.isReady,
    send: (key, args) => cluster.sendCommand(key, false, [...args]),
    async listen(channel, onMessage) {
      const onPayload = (payload: string | Buffer) => onMessage(String(payload))
      await cluster.subscribe(channel, onPayload)
      return async () => cluster.unsubscribe(channel, onPayload)
    },
    lastFailure: () => failures.last,
    async close() {
      closed.abort()
      await closeClient(cluster)
    },
    destroy() {
      closed.abort()
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
