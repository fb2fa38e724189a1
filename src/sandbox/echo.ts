import { randomUUID } from 'node:crypto'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Secret } from '../kernel/secret.ts'
import { deliver } from './deliver.ts'
import type { Account, Repository } from './github-state.ts'
import type { Shapes } from './shapes.ts'

export interface WebhookAddress {
  readonly url: string
  readonly secret: string | Secret
}

/** One attempt, as `GET …/hooks/{id}/deliveries` lists it. */
export interface HookDelivery {
  readonly id: number
  readonly guid: string
  readonly repository: string
  readonly event: string
  readonly action: string | null
  readonly deliveredAt: string
  readonly redelivery: boolean
  readonly durationMs: number
  /** `OK`, or what went wrong */
  readonly status: string
  /** 0: no answer */
  readonly statusCode: number
  readonly url: string
  readonly payload: object
}

export const hookId = 1
const parallelMax = 8
const keptMax = 5_000

/**
 * What every write causes on GitHub: a webhook, signed, sent in the background, never retried, remembered for redelivery. Deliveries
 * overlap and may overtake one another, as they do there.
 */
export class Echo {
  readonly #shapes: Shapes
  readonly #clock: Clock
  readonly #log: Log
  readonly #deliveries: HookDelivery[] = []
  readonly #waiting: (() => Promise<void>)[] = []
  readonly #stopped = new AbortController()
  #idle: PromiseWithResolvers<void> | null = null
  #active = 0
  #lastId = 0
  #address: WebhookAddress | null

  constructor(deps: { shapes: Shapes; clock: Clock; log: Log; address: WebhookAddress | null }) {
    this.#shapes = deps.shapes
    this.#clock = deps.clock
    this.#log = deps.log
    this.#address = deps.address
  }

  get address(): WebhookAddress | null {
    return this.#address
  }

  /** From now on; null: writes stay silent. */
  pointTo(address: WebhookAddress | null): void {
    this.#address = address
  }

  emit(event: string, body: object, repository: Repository, sender: Account): void {
    const payload = { ...body, repository: this.#shapes.repository(repository), sender: this.#shapes.account(sender) }
    const action = 'action' in payload && typeof payload.action === 'string' ? payload.action : null
    this.#send({ guid: randomUUID(), event, action, payload, repository: repository.fullName, redelivery: false })
  }

  /** Sends it again under the same GUID. @returns false: there is no such delivery */
  redeliver(id: number): boolean {
    const found = this.#deliveries.find((delivery) => delivery.id === id)
    if (found) this.#send({ ...found, redelivery: true })
    return found !== undefined
  }

  /** newest first */
  deliveries(repository: string): readonly HookDelivery[] {
    return this.#deliveries.filter((one) => one.repository.toLowerCase() === repository.toLowerCase()).toReversed()
  }

  /** Resolves when nothing waits or is under way. */
  settled(): Promise<void> {
    if (this.#active === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  async stop(): Promise<void> {
    this.#waiting.length = 0
    this.#stopped.abort()
    await this.settled()
  }

  #send(delivery: Pick<HookDelivery, 'guid' | 'event' | 'action' | 'payload' | 'repository' | 'redelivery'>): void {
    const address = this.#address
    if (!address || this.#stopped.signal.aborted) return
    this.#waiting.push(async () => {
      const deliveredAt = this.#clock.now().toISOString()
      const outcome = await this.#attempt(address, delivery)
      this.#lastId += 1
      const { guid, event, action, payload, repository, redelivery } = delivery
      const head = { id: this.#lastId, guid, event, action, payload, repository, redelivery }
      this.#deliveries.push({ ...head, deliveredAt, url: address.url, ...outcome })
      if (this.#deliveries.length > keptMax) this.#deliveries.shift()
    })
    this.#pump()
  }

  #pump(): void {
    while (this.#active < parallelMax) {
      const next = this.#waiting.shift()
      if (!next) break
      this.#active += 1
      void next().finally(() => {
        this.#active -= 1
        this.#pump()
      })
    }
    if (this.#active > 0) return
    this.#idle?.resolve()
    this.#idle = null
  }

  async #attempt(
    { url, secret }: WebhookAddress,
    { guid, event, payload }: Pick<HookDelivery, 'guid' | 'event' | 'payload'>,
  ): Promise<Pick<HookDelivery, 'status' | 'statusCode' | 'durationMs'>> {
    const startedAt = performance.now()
    try {
      const signal = this.#stopped.signal
      const answer = await deliver({ url, secret, event, body: payload, delivery: guid, hookId, signal })
      const ok = answer.status >= 200 && answer.status < 300
      const status = ok ? 'OK' : `Invalid HTTP Response: ${answer.status}`
      return { status, statusCode: answer.status, durationMs: answer.durationMs }
    } catch (error) {
      this.#log.warn({ event, delivery: guid, reason: reasonOf(error) }, 'sandbox webhook not delivered')
      return {
        status: 'failed to connect to host',
        statusCode: 0,
        durationMs: Math.round(performance.now() - startedAt),
      }
    }
  }
}
