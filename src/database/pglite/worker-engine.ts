import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { GuildError } from '../../kernel/errors.ts'
import type { Engine, EngineOptions, OnNotify, RawResult } from './engine.ts'

export type Call = { readonly id: number } & Request
type Request =
  | { readonly kind: 'run'; readonly text: string; readonly params: readonly (string | null)[] }
  | { readonly kind: 'script'; readonly text: string }
  | { readonly kind: 'dump' | 'close' }

interface Failure {
  readonly message: string
  readonly fields: Readonly<Record<string, string>>
}
export type Answer =
  | { readonly kind: 'open' }
  | ({ readonly kind: 'refused' } & Failure)
  | { readonly kind: 'notify'; readonly channel: string; readonly payload: string }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | ({ readonly kind: 'failed'; readonly id: number } & Failure)

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

// From source Node runs the .ts; the build leaves a .js beside this file's .js.
const script = new URL(`./engine-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

/** The engine in a thread of its own. When the thread dies every call rejects with GUILD_DATABASE_UNAVAILABLE. */
export class WorkerEngine implements Engine {
  readonly #worker: Worker
  readonly #onNotify: OnNotify
  readonly #waiting = new Map<number, Waiting>()
  readonly #opened = Promise.withResolvers<void>()
  #lastId = 0
  #dead: GuildError | undefined

  static async open(options: EngineOptions, onNotify: OnNotify): Promise<WorkerEngine> {
    // No flags of the parent: a debugger or a test runner's loader has no business in there.
    const engine = new WorkerEngine(new Worker(script, { workerData: options, execArgv: [], name: 'pglite' }), onNotify)
    await engine.#opened.promise
    return engine
  }

  private constructor(worker: Worker, onNotify: OnNotify) {
    this.#worker = worker
    this.#onNotify = onNotify
    worker.on('message', (answer: Answer) => this.#receive(answer))
    worker.on('error', (error) => this.#fail(error.message, error))
    worker.on('exit', () => this.#fail('its thread has ended'))
  }

  run(text: string, params: readonly (string | null)[]): Promise<RawResult> {
    return this.#call({ kind: 'run', text, params }) as Promise<RawResult>
  }

  async script(text: string): Promise<void> {
    await this.#call({ kind: 'script', text })
  }

  dump(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call({ kind: 'dump' }) as Promise<Uint8Array<ArrayBuffer>>
  }

  async close(): Promise<void> {
    if (this.#dead) return
    const exit = once(this.#worker, 'exit')
    await this.#call({ kind: 'close' })
    await exit
  }

  #call(request: Request): Promise<unknown> {
    if (this.#dead) return Promise.reject(this.#dead)
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#lastId += 1
    this.#waiting.set(this.#lastId, { resolve, reject })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    this.#worker.postMessage({ id: this.#lastId, ...request } satisfies Call)
    return promise
  }

  #receive(answer: Answer): void {
    if (answer.kind === 'open') return this.#opened.resolve()
    if (answer.kind === 'refused') return this.#fail(answer.message)
    if (answer.kind === 'notify') return this.#onNotify(answer.channel, answer.payload)
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.kind === 'done') waiting?.resolve(answer.value)
    else waiting?.reject(Object.assign(new Error(answer.message), answer.fields))
  }

  #fail(why: string, cause?: Error): void {
    this.#dead ??= new GuildError('GUILD_DATABASE_UNAVAILABLE', { why }, { cause })
    this.#opened.reject(this.#dead)
    for (const { reject } of this.#waiting.values()) reject(this.#dead)
    this.#waiting.clear()
  }
}
