import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../src/kernel/clock.ts'
import { type DeliveryAnswer, deliver } from '../../src/sandbox/deliver.ts'
import { type Sandbox, sandboxLogin, sandboxToken, startSandbox } from '../../src/sandbox/sandbox.ts'
import type { Env } from './process.ts'

export const webhookSecret = 'a-secret-of-the-tests'

/** What a guild needs to work with this sandbox, live. */
export function liveEnv(sandbox: Sandbox): Env {
  return {
    GITHUB_API_URL: sandbox.url,
    GITHUB_TOKEN: sandboxToken,
    GITHUB_BOT_LOGIN: sandboxLogin,
    GITHUB_WEBHOOK_SECRET: webhookSecret,
    GUILD_LIVE: 'github',
  }
}

export async function openSandbox(): Promise<Sandbox> {
  return startSandbox({ clock: systemClock })
}

/** Writes come back as webhooks from now on, as they do on GitHub. */
export function echoTo(sandbox: Sandbox, webhooks: string): void {
  sandbox.github.pointTo({ url: webhooks, secret: webhookSecret })
}

export const repo = 'acme/payments-api'
const opened = readFileSync(new URL('../../src/sandbox/day/pull-request-opened.json', import.meta.url), 'utf8')

interface PullRequestOpened {
  number: number
  pull_request: { id: number; number: number; title: string; author_association: string }
}

/** GitHub's body for a pull request opened by a member. */
export function pullRequestOpened(number: number): PullRequestOpened {
  const body = JSON.parse(opened) as PullRequestOpened
  body.number = number
  Object.assign(body.pull_request, {
    id: 1_000 + number,
    number,
    title: `Change ${number}`,
    author_association: 'MEMBER',
  })
  return body
}

export async function send(
  url: string,
  body: object | string | Uint8Array,
  options: {
    readonly event?: string
    readonly delivery?: string
    readonly headers?: Env
    readonly secret?: string
  } = {},
): Promise<DeliveryAnswer> {
  return deliver({ url, event: 'pull_request', secret: webhookSecret, body, ...options })
}

/** Sends until it is accepted, with the same GUID each time: what an operator's "Redeliver" does after a failure. */
export async function sendUntilAccepted(urlNow: () => string, body: object, delivery: string): Promise<number> {
  for (let attempts = 1; attempts <= 2_000; attempts += 1) {
    try {
      const { status } = await send(urlNow(), body, { delivery })
      if (status >= 200 && status < 300) return attempts
    } catch {
      // Nobody listens: the guild is down, which is what the sender is here to outlast.
    }
    await delay(50)
  }
  throw new Error(`delivery ${delivery} was never accepted`)
}

/** Comments of the sandbox by pull request number. */
export function commentsByNumber(sandbox: Sandbox): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const thread of sandbox.github.state.repository(repo)?.threads.values() ?? []) {
    counts.set(thread.number, thread.comments.length)
  }
  return counts
}
