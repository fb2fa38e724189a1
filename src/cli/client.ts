import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Settings } from '../config/settings.ts'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import { errorCatalogue, type ErrorCode } from '../kernel/errors.ts'
import { runningAt } from '../processes/presence.ts'

/** How a command speaks to a guild: one that runs, over HTTP; else the same routes over the database of this GUILD_HOME, in process. */
export interface Client extends AsyncDisposable {
  /** where the answer comes from, for people: a URL, or `the database (no server is running)` */
  readonly from: string
  get<T>(path: string): Promise<T>
  post<T>(path: string, body?: object): Promise<T>
  /** Server-sent events; only a running guild has them. */
  stream(path: string, onItem: (item: unknown) => void, signal: AbortSignal): Promise<void>
}

const callMs = 30_000
export const adminKeyFile = 'admin.key'

/** The admin key of this GUILD_HOME goes to the server of this GUILD_HOME only; a guild elsewhere gets GUILD_API_KEY or nothing. */
export async function openClient(settings: Settings): Promise<Client> {
  const own = settings.url !== undefined && settings.apiKey ? null : await runningAt(settings.home)
  const url = settings.url ?? own
  if (!url) return offlineClient(settings)
  const isOwn = own !== null && new URL(url).origin === new URL(own).origin
  return new HttpClient(url, settings.apiKey?.reveal() ?? (isOwn ? localKey(settings.home) : undefined))
}

/** The guild at `url`, with the admin key of its home on this machine. */
export function openClientAt(url: string, home: string): Client {
  return new HttpClient(url, localKey(home))
}

class HttpClient implements Client {
  readonly from: string
  readonly #key: string | undefined

  constructor(url: string, key: string | undefined) {
    this.from = url
    this.#key = key
  }

  async get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path)
  }

  async post<T>(path: string, body: object = {}): Promise<T> {
    return this.#call<T>('POST', path, body)
  }

  async stream(path: string, onItem: (item: unknown) => void, signal: AbortSignal): Promise<void> {
    const response = await this.#fetch('GET', path, undefined, signal)
    let rest = ''
    try {
      for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
        rest += chunk
        const frames = rest.split('\n\n')
        rest = frames.pop() ?? ''
        for (const frame of frames) {
          const data = frame.split('\n').find((line) => line.startsWith('data: '))
          if (data) onItem(JSON.parse(data.slice(6)))
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.#fetch(method, path, body, AbortSignal.timeout(callMs))
    return (await response.json()) as T
  }

  async #fetch(method: string, path: string, body: object | undefined, signal: AbortSignal): Promise<Response> {
    const headers = {
      ...(this.#key && { authorization: `Bearer ${this.#key}` }),
      ...(body && { 'content-type': 'application/json' }),
    }
    let response: Response
    try {
      response = await fetch(new URL(path, this.from), {
        method,
        headers,
        signal,
        ...(body && { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new GuildError(
        'GUILD_SERVER_UNREACHABLE',
        { url: this.from, why: reasonOf((error as Error).cause ?? error) },
        { cause: error },
      )
    }
    if (!response.ok) throw await remoteError(response)
    return response
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function offlineClient(settings: Settings): Promise<Client> {
  // Only a command without a server needs all that a server is made of.
  const { openOffline } = await import('../processes/offline.ts')
  const offline = await openOffline(settings)
  const call = async <T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> => {
    const response = await offline.http.inject({
      method,
      url: path,
      headers: { authorization: `Bearer ${offline.key.reveal()}` },
      ...(body && { payload: body }),
    })
    if (response.statusCode >= 400) throw errorFrom(response.json(), response.statusCode)
    return response.json<T>()
  }
  return {
    from: 'the database (no server is running)',
    get: (path) => call('GET', path),
    post: async <T>(path: string, body: object = {}) => {
      const answer = await call<T>('POST', path, body)
      // No server is there to carry out what was let go.
      if (path.endsWith('/approve')) await offline.settle()
      return answer
    },
    stream: () =>
      Promise.reject(
        new GuildError('GUILD_SERVER_UNREACHABLE', { url: 'this GUILD_HOME', why: 'no server is running' }),
      ),
    [Symbol.asyncDispose]: () => offline.close(),
  }
}

async function remoteError(response: Response): Promise<Error> {
  try {
    return errorFrom(await response.json(), response.status)
  } catch (error) {
    if (isGuildError(error)) return error
    return new Error(`the server answered ${response.status} without a reason`)
  }
}

/** The server's own words: its message and fix are already filled in. */
export class RemoteError extends Error {
  readonly code: ErrorCode
  readonly fix: string
  constructor(code: ErrorCode, message: string, fix: string) {
    super(message)
    this.code = code
    this.fix = fix
  }
}

function errorFrom(body: unknown, status: number): Error {
  const { error } = (body ?? {}) as { error?: { code?: string; message?: string; fix?: string } }
  if (error?.code && error.code in errorCatalogue)
    return new RemoteError(error.code as ErrorCode, error.message ?? '', error.fix ?? '')
  return new Error(`the server answered ${status}`)
}

function localKey(home: string): string | undefined {
  try {
    return readFileSync(join(home, adminKeyFile), 'utf8').trim()
  } catch (error) {
    // No key on this machine: the server will say that one is needed.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new GuildError('GUILD_CONFIG_INVALID', { name: adminKeyFile, why: reasonOf(error) }, { cause: error })
  }
}
