import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { must } from './wait.ts'

const bin = fileURLToPath(new URL('../../bin/guild.js', import.meta.url))
const readyLine = z.object({ ready: z.literal(true), url: z.url() })
const readyMs = 90_000
const stopMs = 30_000
const superviseMs = 1_000
const callMs = 10_000
const commandMs = 120_000

export type Env = Readonly<Record<string, string | undefined>>

/** Nothing of what was started survives this process, however it ends by itself. */
const started = new Set<ChildProcess>()
process.once('exit', () => started.forEach((child) => child.kill('SIGKILL')))

export function keep(child: ChildProcess): ChildProcess {
  started.add(child)
  child.once('exit', () => started.delete(child))
  return child
}

export interface GuildOptions {
  /** also the name of its home and of its log */
  readonly name: string
  readonly args: readonly string[]
  readonly folder: string
  readonly env: Env
  /** libfaketime for threads; null: its clock cannot be moved */
  readonly faketime: string | null
}

/** One process of the guild, started again and again. */
export class GuildProcess {
  readonly name: string
  readonly home: string
  /** where it listens; null: it does not at the moment */
  url: string | null = null
  /** a fault holds it; another fault takes another one */
  busy = false
  /** how often it ended though nobody told it to; it is started again, as a supervisor does, and counted */
  deaths = 0
  readonly #options: GuildOptions
  readonly #clockFile: string
  #child: ChildProcess | null = null
  #wanted = false

  constructor(options: GuildOptions) {
    this.#options = options
    this.name = options.name
    this.home = join(options.folder, 'homes', options.name)
    this.#clockFile = join(options.folder, `${options.name}.clock`)
    mkdirSync(this.home, { recursive: true, mode: 0o700 })
    this.setClock(0)
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  get clockMoves(): boolean {
    return this.#options.faketime !== null
  }

  /** Its wall clock is so far from ours within a second from now; timers go on as before. */
  setClock(offsetSeconds: number): void {
    writeFileSync(this.#clockFile, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}s\n`)
  }

  /** @returns ms until it said that it is ready. @throws with where its log is */
  async start(): Promise<number> {
    const began = performance.now()
    const log = openSync(this.log, 'a')
    const args = [bin, '--json', '--home', this.home, ...this.#options.args]
    const child = spawn(process.execPath, args, {
      cwd: tmpdir(),
      env: { ...plainEnv(), ...this.#fakeEnv(), ...this.#options.env, PORT: '0' },
      stdio: ['ignore', 'pipe', log],
    })
    closeSync(log)
    keep(child)
    this.#child = child
    this.#wanted = true
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      if (!said.includes('\n')) said += chunk
    })
    child.once('exit', () => {
      if (this.#child !== child) return
      this.url = null
      if (said.includes('\n') && this.#wanted) this.#died()
    })
    await must(() => said.includes('\n') || !this.running, readyMs, `${this.name} is ready; see ${this.log}`)
    if (!said.includes('\n')) throw new Error(`${this.name} ended before it was ready; see ${this.log}`)
    this.url = readyLine.parse(JSON.parse(said.split('\n')[0] ?? '')).url
    return performance.now() - began
  }

  #died(): void {
    this.deaths += 1
    const again = async () => {
      await delay(superviseMs)
      if (this.#wanted && !this.running) await this.start()
    }
    again().catch((error: unknown) => {
      process.stderr.write(`${this.name} does not start again: ${String(error)}\n`)
    })
  }

  get log(): string {
    return join(this.#options.folder, `${this.name}.log`)
  }

  /** The admin's answer to `GET path`; null: there is none at the moment. */
  async get<T>(path: string): Promise<T | null> {
    if (this.url === null) return null
    try {
      const key = readFileSync(join(this.home, 'admin.key'), 'utf8').trim()
      const headers = { authorization: `Bearer ${key}` }
      const response = await fetch(`${this.url}${path}`, { headers, signal: AbortSignal.timeout(callMs) })
      return response.ok ? ((await response.json()) as T) : null
    } catch {
      return null // it is down, or too busy: the caller asks again
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** @returns the exit code; null: it had to be killed */
  async stop(): Promise<number | null> {
    const child = this.#child
    const timer = setTimeout(() => child?.kill('SIGKILL'), stopMs)
    await this.#end('SIGTERM')
    clearTimeout(timer)
    return child?.exitCode ?? null
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#wanted = false
    const child = this.#child
    if (!child || !this.running) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
    this.url = null
    // libfaketime leaves its shared memory when its process is killed.
    for (const kind of ['faketime_shm', 'sem.faketime_sem']) rmSync(`/dev/shm/${kind}_${child.pid}`, { force: true })
  }

  #fakeEnv(): Env {
    const { faketime } = this.#options
    if (faketime === null) return {}
    return {
      LD_PRELOAD: faketime,
      FAKETIME_TIMESTAMP_FILE: this.#clockFile,
      FAKETIME_CACHE_DURATION: '1',
      // Intervals and timers of a machine whose clock is set go on.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Processes are killed here: nothing they share may stay locked.
      FAKETIME_DISABLE_SHM: '1',
    }
  }
}

export interface CommandResult {
  readonly code: number | null
  readonly output: string
}

/** One command of the guild to its end. */
export async function guildCommand(args: readonly string[], env: Env): Promise<CommandResult> {
  const child = keep(
    spawn(process.execPath, [bin, ...args], {
      cwd: tmpdir(),
      env: { ...plainEnv(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), commandMs)
  await once(child, 'close')
  clearTimeout(timer)
  return { code: child.exitCode, output }
}

/** Keys, URLs and homes of whoever runs this stay out of it. */
function plainEnv(): Env {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG']
  return {
    ...Object.fromEntries(kept.map((name) => [name, process.env[name]])),
    NO_COLOR: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
  }
}
