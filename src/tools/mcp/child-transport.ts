import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { deserializeMessage, serializeMessage } from '@modelcontextprotocol/client'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client'
import { answerBytesMax } from './capped-fetch.ts'
import { LineReader } from './line-reader.ts'

/** JSON-RPC error code by which an answer that was too long to read reaches its call. */
export const tooLargeCode = -32_099

export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly onStderr: (text: string) => void
}

/** Steps of a polite end: stdin closed, then SIGTERM, then SIGKILL. */
const stepMs = 500

/**
 * MCP over the stdin and stdout of a child process. Our own, because the SDK's kills only the process it started (an `npx` leaves
 * the server behind) and closes the connection on one long line. The child leads a process group, which ends with it.
 */
export class ChildTransport implements Transport {
  readonly #options: ChildOptions
  #child: ChildProcessWithoutNullStreams | null = null
  #epitaph: string | undefined
  #gone: Promise<void> = Promise.resolve()
  onclose?: (() => void) | undefined
  onerror?: ((error: Error) => void) | undefined
  onmessage?: ((message: JSONRPCMessage) => void) | undefined

  constructor(options: ChildOptions) {
    this.#options = options
  }

  /** how the process ended; undefined while it runs */
  get epitaph(): string | undefined {
    return this.#epitaph
  }

  async start(): Promise<void> {
    const { command, args, env, onStderr } = this.#options
    const child = spawn(command, args, { env, detached: true, stdio: 'pipe' })
    const reader = new LineReader(answerBytesMax, {
      line: (text) => this.#receive(text),
      overlong: (head, tail) => this.#refuse(head, tail),
    })
    child.stdout.on('data', (chunk: Buffer) => reader.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => onStderr(chunk.toString('utf8').slice(0, 1_000)))
    child.stdin.on('error', (error) => this.onerror?.(error))
    const gone = Promise.withResolvers<void>()
    this.#gone = gone.promise
    child.once('exit', (code, signal) => {
      this.#epitaph = signal ? `the command was ended by ${signal}` : `the command ended with ${code}`
      end(child.pid, 'SIGKILL') // what it started itself
      living.delete(child)
      gone.resolve()
      this.onclose?.()
    })
    try {
      await once(child, 'spawn')
    } catch (error) {
      gone.resolve()
      throw error
    }
    child.on('error', (error) => this.onerror?.(error))
    this.#child = child
    remember(child)
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const child = this.#child
    if (!child || this.#epitaph) throw Object.assign(new Error(this.#epitaph ?? 'not started'), { code: 'EPIPE' })
    await new Promise<void>((resolve, reject) => {
      child.stdin.write(serializeMessage(message), (error) => (error ? reject(error) : resolve()))
    })
  }

  async close(): Promise<void> {
    await this.end('politely')
  }

  /** Resolves when the process and its group are gone. */
  async end(how: 'at once' | 'politely'): Promise<void> {
    const child = this.#child
    if (!child || this.#epitaph) return
    if (how === 'politely') {
      child.stdin.end()
      if (await this.#goneWithin(stepMs)) return
      end(child.pid, 'SIGTERM')
      if (await this.#goneWithin(stepMs)) return
    }
    end(child.pid, 'SIGKILL')
    await this.#goneWithin(5_000)
  }

  #receive(line: string): void {
    try {
      this.onmessage?.(deserializeMessage(line))
    } catch {
      // Servers print banners on stdout; only the call that waits in vain is lost, by its timeout.
      this.#options.onStderr(line.slice(0, 1_000))
    }
  }

  /** Nothing of the answer is kept but the id, which stands at the very beginning or end. */
  #refuse(head: string, tail: string): void {
    const id =
      /^\s*\{\s*"jsonrpc":\s*"2\.0",\s*"id":\s*(\d+)/.exec(head)?.[1] ?? /"id":\s*(\d+)\s*\}\s*$/.exec(tail)?.[1]
    if (id === undefined) {
      end(this.#child?.pid, 'SIGKILL')
      return
    }
    this.onmessage?.({
      jsonrpc: '2.0',
      id: Number(id),
      error: { code: tooLargeCode, message: 'the answer is too large' },
    })
  }

  async #goneWithin(ms: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => late.resolve(false), ms)
    try {
      return await Promise.race([this.#gone.then(() => true), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

const living = new Set<ChildProcessWithoutNullStreams>()

/** A group of its own does not get the terminal's Ctrl-C: whatever ends us ends it. */
function remember(child: ChildProcessWithoutNullStreams): void {
  if (living.size === 0) process.once('exit', endAll)
  living.add(child)
  child.once('exit', () => {
    if (living.size === 0) process.off('exit', endAll)
  })
}

function endAll(): void {
  for (const child of living) end(child.pid, 'SIGKILL')
}

function end(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
