import type { ChildProcess } from 'node:child_process'
import type { Database, Param, Queryable, Result, Statement } from '../src/database/database.ts'

/**
 * The database of a test, used by a process that the test started: one server, many clients, as PostgreSQL would be. What a client has
 * not committed when it dies is rolled back.
 */
export function serveDatabase(db: Database, client: ChildProcess): void {
  const open = new Map<number, { readonly tx: Queryable; readonly end: (commit: boolean) => void }>()
  const gone = Promise.withResolvers<never>()
  gone.promise.catch(() => undefined)
  client.once('exit', () => gone.reject(new Error('the client died')))
  const answer = (id: number, work: Promise<unknown>): void => {
    work.then(
      (value) => client.connected && client.send({ id, value }),
      (error: unknown) => client.connected && client.send({ id, error: String(error) }),
    )
  }
  client.on('message', (message) => {
    const { id, ask } = message as Asked // only `clientDatabase` below writes here
    switch (ask.kind) {
      case 'query':
        return answer(id, (open.get(ask.tx ?? 0)?.tx ?? db).query(ask.statement, ask.params))
      case 'listen':
        return answer(
          id,
          db
            .listen(ask.channel, (payload) => client.connected && client.send({ channel: ask.channel, payload }))
            .then((stop) => void client.once('exit', () => void stop())),
        )
      case 'end':
        return open.get(ask.tx)?.end(ask.commit)
      case 'begin': {
        const work = db.transaction(async (tx) => {
          const end = Promise.withResolvers<void>()
          open.set(id, { tx, end: (commit) => (commit ? end.resolve() : end.reject(new Error('rolled back'))) })
          // It died while it waited for its turn.
          if (!client.connected) throw new Error('the client died')
          client.send({ id, begun: true })
          await Promise.race([end.promise, gone.promise])
        })
        return answer(
          id,
          work.finally(() => open.delete(id)),
        )
      }
    }
  })
}

interface Asked {
  readonly id: number
  readonly ask:
    | {
        readonly kind: 'query'
        readonly tx: number | null
        readonly statement: Statement
        readonly params: readonly Param[]
      }
    | { readonly kind: 'listen'; readonly channel: string }
    | { readonly kind: 'begin' }
    | { readonly kind: 'end'; readonly tx: number; readonly commit: boolean }
}
interface Told {
  readonly id?: number
  readonly value?: unknown
  readonly error?: string
  readonly begun?: true
  readonly channel?: string
  readonly payload?: string
}

/** The other end, in the process that was started with an IPC channel and `serialization: 'advanced'`. */
export function clientDatabase(): Database {
  let last = 0
  const waiting = new Map<number, (told: Told) => void>()
  const listeners = new Set<(channel: string, payload: string) => void>()
  process.on('message', (message) => {
    const told = message as Told // only `serveDatabase` above writes here
    if (told.channel !== undefined) for (const listener of listeners) listener(told.channel, told.payload ?? '')
    else if (told.id !== undefined) waiting.get(told.id)?.(told)
  })
  const ask = (asked: Asked['ask'], onTold: (told: Told) => void): number => {
    last += 1
    waiting.set(last, onTold)
    process.send?.({ id: last, ask: asked } satisfies Asked)
    return last
  }
  const call = (asked: Asked['ask']): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ask(asked, ({ value, error }) => {
        waiting.delete(id)
        if (error === undefined) resolve(value)
        else reject(new Error(error))
      })
    })
  const queryIn =
    (tx: number | null) =>
    <Row>({ name, text }: Statement, params: readonly Param[] = []): Promise<Result<Row>> =>
      call({ kind: 'query', tx, statement: { name, text }, params }) as Promise<Result<Row>> // what the database answered there
  return {
    kind: 'pglite',
    query: queryIn(null),
    transaction: <T>(work: (tx: Queryable) => Promise<T>): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        let outcome: { readonly value: T } | { readonly reason: unknown } | null = null
        const id = ask({ kind: 'begin' }, ({ begun, error }) => {
          if (begun) return begin()
          waiting.delete(id)
          if (outcome && 'value' in outcome && error === undefined) resolve(outcome.value)
          else reject(outcome && 'reason' in outcome ? outcome.reason : new Error(error))
        })
        const begin = (): void => {
          const end = (commit: boolean) =>
            process.send?.({ id: 0, ask: { kind: 'end', tx: id, commit } } satisfies Asked)
          const worked = async (): Promise<void> => {
            try {
              outcome = { value: await work({ query: queryIn(id) }) }
              end(true)
            } catch (reason) {
              outcome = { reason }
              end(false)
            }
          }
          void worked()
        }
      }),
    listen: async (channel, onNotify) => {
      const listener = (from: string, payload: string) => from === channel && onNotify(payload)
      listeners.add(listener)
      await call({ kind: 'listen', channel })
      return () => Promise.resolve(void listeners.delete(listener))
    },
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
