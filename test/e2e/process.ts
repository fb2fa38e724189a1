import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { z } from 'zod'
import { until } from './until.ts'

export const bin = fileURLToPath(new URL('../../bin/guild.js', import.meta.url))

/** Variables for a guild; undefined takes one away that it would inherit. */
export type Env = Readonly<Record<string, string | undefined>>

export interface CommandResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export interface CommandOptions {
  readonly env?: Env
  readonly cwd?: string
  readonly timeoutMs?: number
  /** the program that runs guild.js, and what comes before it; default: this Node */
  readonly program?: readonly string[]
}

const readyLine = z.object({ ready: z.literal(true), url: z.url() })
// A first start takes 5 s of one core, and the machine may have other things to do.
const readyMs = 90_000
const commandMs = 90_000

/** Nothing of what a test started survives it, however it ends. */
const started = new Set<ChildProcess>()
const killAll = (): void => started.forEach((child) => child.kill('SIGKILL'))
process.once('exit', killAll)
afterAll(async () => {
  const alive = [...started]
  killAll()
  await Promise.all(alive.map((child) => exited(child)))
})

/** One command to its end: `guild status`, `guild demo --exit`. */
export async function guild(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const began = performance.now()
  const child = start(args, options)
  const output = collect(child)
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? commandMs)
  const [code, signal] = await exited(child)
  clearTimeout(timer)
  return { code, signal, ...output(), ms: Math.round(performance.now() - began) }
}

/** A command that must succeed, read as JSON. */
export async function guildJson<T>(args: readonly string[], options: CommandOptions = {}): Promise<T> {
  const result = await guild(['--json', ...args], options)
  if (result.code !== 0) throw new Error(`guild ${args.join(' ')}: exit ${result.code}: ${result.stderr}`)
  return JSON.parse(result.stdout) as T
}

export interface UpOptions extends CommandOptions {
  readonly home: string
  /** default: `up` */
  readonly args?: readonly string[]
  /** what people see instead of the line of JSON */
  readonly human?: boolean
}

/** `guild up` as a process of its own, ready. */
export class GuildProcess implements AsyncDisposable {
  readonly url: string
  readonly home: string
  readonly pid: number
  /** from spawn to the line that says ready */
  readonly readyMs: number
  readonly #child: ChildProcess
  readonly #output: () => { readonly stdout: string; readonly stderr: string }

  /** @throws with what it said on stderr, when it ends before it is ready */
  static async up(options: UpOptions): Promise<GuildProcess> {
    const began = performance.now()
    const { home, args = ['up'], human = false } = options
    const child = start([...(human ? [] : ['--json']), '--home', home, ...args], {
      ...options,
      env: { PORT: '0', ...options.env },
    })
    const output = collect(child)
    const gone = exited(child).then(([code, signal]) => {
      throw new Error(`guild up ended before it was ready (${signal ?? code}): ${output().stderr}`)
    })
    gone.catch(() => undefined)
    const ready = until(() => output().stdout.includes('\n'), {
      withinMs: readyMs,
      pollMs: 5,
      what: 'guild up is ready',
    })
    try {
      await Promise.race([ready, gone])
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
    const ms = Math.round(performance.now() - began)
    const said = output().stdout
    const url = human
      ? (/http:\/\/[\d.:]+/.exec(said)?.[0] ?? '')
      : readyLine.parse(JSON.parse(said.split('\n')[0] ?? '')).url
    return new GuildProcess(child, output, { url, home, readyMs: ms })
  }

  private constructor(
    child: ChildProcess,
    output: () => { readonly stdout: string; readonly stderr: string },
    facts: { readonly url: string; readonly home: string; readonly readyMs: number },
  ) {
    this.#child = child
    this.#output = output
    this.pid = child.pid ?? 0
    this.url = facts.url
    this.home = facts.home
    this.readyMs = facts.readyMs
  }

  get webhooks(): string {
    return `${this.url}/webhooks/github`
  }

  get stderr(): string {
    return this.#output().stderr
  }

  get stdout(): string {
    return this.#output().stdout
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The admin's answer to `GET path`. */
  async get<T>(path: string): Promise<T> {
    const response = await this.call('GET', path)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }

  async call(method: string, path: string, options: { key?: string | null; body?: object } = {}): Promise<Response> {
    const key = options.key === undefined ? readFileSync(join(this.home, 'admin.key'), 'utf8').trim() : options.key
    return fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(key && { authorization: `Bearer ${key}` }),
        ...(options.body && { 'content-type': 'application/json' }),
      },
      ...(options.body && { body: JSON.stringify(options.body) }),
      signal: AbortSignal.timeout(20_000),
    })
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await exited(this.#child)
  }

  /** Ends it as an operator does. @returns the exit code, or the signal that ended it */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    this.#child.kill(signal)
    const [code, by] = await exited(this.#child)
    return code ?? by
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) await this.kill()
  }
}

/** A folder that is gone after the test file. */
export async function temporary(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), name))
  folders.push(folder)
  return folder
}
const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** Every process that this one has started, and theirs. */
export function descendants(pid: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
  const parents = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number))
  const children = parents.filter(([, parent]) => parent === pid).map(([child = 0]) => child)
  return children.flatMap((child) => [child, ...descendants(child)])
}

/** Still there; one that has ended and waits for its parent is not. */
export function alive(pid: number): boolean {
  return /^[^Z]/.test(spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim())
}

function start(args: readonly string[], { env, cwd, program = [process.execPath] }: CommandOptions): ChildProcess {
  const [command = process.execPath, ...before] = program
  const child = spawn(command, [...before, bin, ...args], {
    cwd: cwd ?? tmpdir(),
    env: { ...plainEnv(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.add(child)
  child.once('exit', () => started.delete(child))
  return child
}

/** Keys, URLs and homes of whoever runs the tests stay out of them. */
function plainEnv(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG']
  return {
    ...Object.fromEntries(kept.map((name) => [name, process.env[name]])),
    NO_COLOR: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
  }
}

function collect(child: ChildProcess): () => { readonly stdout: string; readonly stderr: string } {
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  return () => text
}

async function exited(child: ChildProcess): Promise<readonly [number | null, NodeJS.Signals | null]> {
  // `close`, not `exit`: then all it said has been read.
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  return [child.exitCode, child.signalCode]
}
