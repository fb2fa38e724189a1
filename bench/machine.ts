import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type as system } from 'node:os'
import { join } from 'node:path'
import { findPostgres } from '../test/postgres-server.ts'

/** What the figures depend on besides our code. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryGb: number
  readonly system: string
  readonly versions: Readonly<Record<string, string>>
}

const peers = ['bullmq', 'ioredis', 'pg-boss', 'graphile-worker']

export function machine(): Machine {
  const postgres = findPostgres()
  const versions = {
    node: process.version.slice(1),
    postgresql: postgres === null ? null : numberIn(run(join(postgres, 'postgres'), ['--version'])),
    redis: numberIn(run('redis-server', ['--version'])),
    ...Object.fromEntries(peers.map((name) => [name, installed(name)])),
  }
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    system: `${system()} ${release()}`,
    versions: Object.fromEntries(Object.entries(versions).flatMap(([name, at]) => (at === null ? [] : [[name, at]]))),
  }
}

/** Of the last minute: above half of the cores somebody else was at work, and the figures are too low. */
export function load(): number {
  return Number((loadavg()[0] ?? 0).toFixed(2))
}

export function commit(): string {
  return run('git', ['rev-parse', '--short', 'HEAD']).trim() || 'unknown'
}

function installed(name: string): string | null {
  try {
    const file = new URL(`./node_modules/${name}/package.json`, import.meta.url)
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version // the shape of every package.json
  } catch {
    return null // not installed: it is not named among the versions
  }
}

function run(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return '' // not on this machine: it is not named among the versions
  }
}

function numberIn(text: string): string | null {
  return /\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? null
}
