import { PGlite, messages, protocol } from '@electric-sql/pglite'
import { Mutex } from '../mutex.ts'

/** Columns in PostgreSQL's text format: cheap to post between threads, decoded by whoever reads them. */
export interface RawResult {
  readonly columns: readonly { readonly name: string; readonly type: number }[]
  readonly rows: readonly (readonly (string | null)[])[]
  readonly count: number
  /** the tag of the command that ran: `INSERT 0 5`; a COMMIT that could only roll back says `ROLLBACK` */
  readonly tag: string
}

/** One PostgreSQL in WebAssembly, in this thread or in a worker. Calls are served one by one. */
export interface Engine {
  run(text: string, params: readonly (string | null)[]): Promise<RawResult>
  script(text: string): Promise<void>
  /** The whole database as a tar, for `EngineOptions.dump`. */
  dump(): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

export interface EngineOptions {
  /** absent: in memory */
  readonly folder?: string
  /** start from a dump instead of an empty database */
  readonly dump?: Uint8Array<ArrayBuffer>
}

export type OnNotify = (channel: string, payload: string) => void

// Without a server process there is nobody else to share buffers with: 16 MB serve one connection, 128 MB (the default) only cost
// resident memory. Checkpoints and vacuum are ours to call (maintenance.ts).
const settings = ['shared_buffers=16MB', 'wal_buffers=1MB', 'max_connections=5', 'TimeZone=UTC', 'jit=off']
const preparedMax = 1000

export class LocalEngine implements Engine {
  readonly #pg: PGlite
  readonly #mutex = new Mutex()
  /** text → name of the statement prepared for it */
  readonly #prepared = new Map<string, string>()

  static async open({ folder, dump }: EngineOptions, onNotify: OnNotify): Promise<LocalEngine> {
    const pg = await PGlite.create({
      ...(folder !== undefined && { dataDir: folder }),
      ...(dump && { loadDataDir: new Blob([dump]) }),
      startParams: [...PGlite.defaultStartParams, ...settings.flatMap((setting) => ['-c', setting])],
    })
    pg.onNotification(onNotify)
    return new LocalEngine(pg)
  }

  private constructor(pg: PGlite) {
    this.#pg = pg
  }

  run(text: string, params: readonly (string | null)[]): Promise<RawResult> {
    return this.#mutex.run(() => this.#run(text, params))
  }

  script(text: string): Promise<void> {
    return this.#mutex.run(async () => {
      await this.#pg.exec(text)
      // A plan made before a column was added fails with "cached plan must not change result type".
      await this.#pg.exec('DEALLOCATE ALL')
      this.#prepared.clear()
    })
  }

  dump(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#mutex.run(async () => new Uint8Array(await (await this.#pg.dumpDataDir('none')).arrayBuffer()))
  }

  close(): Promise<void> {
    return this.#mutex.run(() => this.#pg.close())
  }

  /** One round trip into WebAssembly: [parse] bind describe execute sync. PGlite's own `query` takes six and parses each time. */
  async #run(text: string, params: readonly (string | null)[]): Promise<RawResult> {
    const { serialize } = protocol
    const known = this.#prepared.get(text)
    const statement = known ?? (this.#prepared.size < preparedMax ? `s${this.#prepared.size}` : '')
    const request = Buffer.concat([
      ...(known === undefined ? [serialize.parse({ name: statement, text })] : []),
      serialize.bind({ statement, values: [...params] }),
      serialize.describe({ type: 'P' }),
      serialize.execute({}),
      serialize.sync(),
    ])
    const { messages: answers } = await this.#pg.execProtocol(request, { throwOnError: false })
    if (statement !== '' && answers.some((answer) => answer.name === 'parseComplete'))
      this.#prepared.set(text, statement)
    return readAnswers(answers)
  }
}

function readAnswers(answers: readonly { readonly name: string }[]): RawResult {
  let columns: RawResult['columns'] = []
  let tag = ''
  const rows: (string | null)[][] = []
  for (const answer of answers) {
    if (answer instanceof messages.DatabaseError) throw answer
    if (answer instanceof messages.RowDescriptionMessage)
      columns = answer.fields.map((field) => ({ name: field.name, type: field.dataTypeID }))
    if (answer instanceof messages.DataRowMessage) rows.push(answer.fields)
    if (answer instanceof messages.CommandCompleteMessage) tag = answer.text
  }
  // `SELECT 3`, `UPDATE 1`; a command without a number changed no rows.
  return { columns, rows, tag, count: Number(/\d+$/.exec(tag)?.[0] ?? 0) }
}
