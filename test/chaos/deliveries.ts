import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { signGithub } from '../../src/sandbox/deliver.ts'
import { repository } from './target.ts'

export const webhookSecret = 'the-secret-of-the-chaos-hook'

const answerMs = 10_000
const againMs = { min: 50, max: 1_000 } as const

export interface SenderOptions {
  readonly deliveries: number
  /** in flight at once */
  readonly senders: number
  /** where the gateways listen now; empty: none does */
  readonly urls: () => readonly string[]
  readonly signal: AbortSignal
}

/** Sends signed deliveries as a relay in front of a webhook does: again, with the same id, until one 2xx. Then it is the guild's. */
export class Deliveries {
  /** issue number → when its delivery was accepted, performance.now() */
  readonly accepted = new Map<number, number>()
  attempts = 0
  /** requests that got no 2xx, by what came instead */
  readonly refusals = new Map<string, number>()
  readonly #options: SenderOptions
  readonly #agent: Agent
  #next = 1
  #released = 0
  #perSecond = 0
  #sinceMs = 0

  constructor(options: SenderOptions) {
    this.#options = options
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.senders })
  }

  get sent(): number {
    return this.#next - 1
  }

  get done(): boolean {
    return this.accepted.size === this.#options.deliveries
  }

  /** How fast new deliveries begin from now on; what is behind is caught up with as fast as the senders can. */
  pace(perSecond: number): void {
    this.#released = this.allowed
    this.#perSecond = perSecond
    this.#sinceMs = performance.now()
  }

  get allowed(): number {
    const since = ((performance.now() - this.#sinceMs) / 1_000) * this.#perSecond
    return Math.min(this.#options.deliveries, this.#released + since)
  }

  /** Resolves when all are accepted or the signal has aborted. */
  async run(): Promise<void> {
    this.#sinceMs = performance.now()
    await Promise.all(Array.from({ length: this.#options.senders }, () => this.#sender()))
    this.#agent.destroy()
  }

  async #sender(): Promise<void> {
    const { signal, deliveries } = this.#options
    while (!signal.aborted && this.#next <= deliveries) {
      if (this.#next > this.allowed) {
        await delay(10)
        continue
      }
      const issue = this.#next
      this.#next += 1
      await this.#untilAccepted(issue)
    }
  }

  async #untilAccepted(issue: number): Promise<void> {
    const body = issueOpened(issue)
    for (let tries = 0; !this.#options.signal.aborted; tries += 1) {
      const urls = this.#options.urls()
      const url = urls[(issue + tries) % Math.max(1, urls.length)]
      const answer = url === undefined ? 'nobody listens' : await this.#send(url, body, guid(issue))
      if (answer === 'accepted') return void this.accepted.set(issue, performance.now())
      this.refusals.set(answer, (this.refusals.get(answer) ?? 0) + 1)
      await delay(Math.min(againMs.max, againMs.min * 2 ** tries))
    }
  }

  /** @returns `accepted`, or what came instead */
  #send(url: string, body: string, delivery: string): Promise<string> {
    this.attempts += 1
    return new Promise((resolve) => {
      const headers = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'GitHub-Hookshot/chaos',
        'x-github-event': 'issues',
        'x-github-delivery': delivery,
        'x-github-hook-id': '1',
        'x-hub-signature-256': signGithub(webhookSecret, body),
      }
      const options = { method: 'POST', agent: this.#agent, headers, signal: AbortSignal.timeout(answerMs) }
      const sent = request(url, options, (response) => {
        const { statusCode = 0 } = response
        response.resume()
        // The status line is the answer, also when the connection breaks behind it.
        resolve(statusCode >= 200 && statusCode < 300 ? 'accepted' : String(statusCode))
      })
      sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name))
      sent.end(body)
    })
  }
}

export function guid(issue: number): string {
  return `00000000-0000-4000-8000-${String(issue).padStart(12, '0')}`
}

/** GitHub's body for an issue opened by a member, with what it means and little else: 900 bytes. */
function issueOpened(number: number): string {
  const page = `https://github.com/${repository}`
  const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const user = { login: 'ada-byron', id: 21_031_067, type: 'User' }
  return JSON.stringify({
    action: 'opened',
    issue: {
      id: 7_000_000 + number,
      number,
      html_url: `${page}/issues/${number}`,
      title: `Order ${number} is late`,
      body: 'It was promised for yesterday. The carrier says that it never left the warehouse.',
      state: 'open',
      user,
      author_association: 'MEMBER',
      created_at: at,
      updated_at: at,
      labels: [],
    },
    repository: { id: 186_853_002, full_name: repository, html_url: page, default_branch: 'main', private: true },
    sender: user,
  })
}
