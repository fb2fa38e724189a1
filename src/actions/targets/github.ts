import type { CallRate } from '../../kernel/call-rate.ts'
import type { Clock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { Secret } from '../../kernel/secret.ts'
import {
  type ActionCall,
  type ActionType,
  createWithinMs,
  type Look,
  type Outcome,
  type Probe,
  type RenderedRequest,
  type Target,
} from '../target.ts'
import type { GithubAction } from './github/action.ts'
import { githubCheckRun, githubCheckRunUndo } from './github/check-run.ts'
import { GithubClient } from './github/client.ts'
import { githubComment, githubCommentUndo } from './github/comment.ts'
import { githubIssue, githubIssueUndo } from './github/issue.ts'
import { githubLabel, githubLabelUndo } from './github/label.ts'
import { githubReview } from './github/review.ts'

export interface GithubTargetOptions {
  /** Asked for each call; null: no token, every call is rejected by GitHub and only shadow mode is of use. */
  readonly token: () => Promise<Secret | null>
  /** `https://api.github.com`, or `https://HOST/api/v3` */
  readonly baseUrl: string
  /** login the token acts as; null: asked for when needed */
  readonly botLogin: string | null
  readonly clock: Clock
  /** default: 1 000 for api.github.com, as GitHub advises between two writes, else 0 */
  readonly minIntervalMs?: number
  /** default: 2 s, 10 s, 30 s; GitHub lists what it has stored, a replica may lag */
  readonly probeAfterMs?: readonly number[]
  /** of one request, default 15 000 */
  readonly timeoutMs?: number
}

const actions: readonly GithubAction[] = [githubComment, githubReview, githubLabel, githubCheckRun, githubIssue]
/** What takes the others back: people ask for it, no manifest can grant it. */
const inverses: readonly GithubAction[] = [githubCommentUndo, githubLabelUndo, githubCheckRunUndo, githubIssueUndo]

/** What agents may propose, also where no token is configured. */
export const githubActionTypes: readonly ActionType[] = actions.map((action) => action.type)

/** What takes them back. */
export const githubInverses: readonly ActionType[] = inverses.map((action) => action.type)

/**
 * Content-generating requests, of which every write of ours may be one; a server of one's own has limits of its own.
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
 */
const contentRates: readonly CallRate[] = [
  { calls: 80, perMs: 60_000 },
  { calls: 500, perMs: 3_600_000 },
]

/** GitHub ends a request after 10 s: docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts */
const requestMsMax = 10_000
const visibleWithinMs = 4_000
const githubProbeAfterMs = [2_000, 10_000, createWithinMs + requestMsMax + visibleWithinMs] as const

/** GitHub as a target (edges 3.1–3.3). One per connector. */
export class GithubTarget implements Target {
  readonly system = 'github'
  readonly types = githubActionTypes
  readonly probeAfterMs: readonly number[]
  readonly minIntervalMs: number
  readonly rates: readonly CallRate[]
  readonly #client: GithubClient

  constructor(options: GithubTargetOptions) {
    this.probeAfterMs = options.probeAfterMs ?? githubProbeAfterMs
    const shared = new URL(options.baseUrl).host === 'api.github.com'
    this.minIntervalMs = options.minIntervalMs ?? (shared ? 1_000 : 0)
    this.rates = shared ? contentRates : []
    this.#client = new GithubClient({ ...options, login: options.botLogin })
  }

  async render(call: ActionCall): Promise<RenderedRequest> {
    return this.#client.describe(actionOf(call).render(call))
  }

  async execute(call: ActionCall, signal: AbortSignal): Promise<Outcome> {
    return actionOf(call).execute(this.#client, call, signal)
  }

  async probe(call: ActionCall, sentAt: Date, signal: AbortSignal): Promise<Probe> {
    return actionOf(call).probe(this.#client, call, sentAt, signal)
  }

  async look(call: ActionCall, signal: AbortSignal): Promise<Look> {
    const action = actionOf(call)
    return action.look ? action.look(this.#client, call, signal) : { kind: 'nothing' }
  }
}

function actionOf(call: ActionCall): GithubAction {
  const action = [...actions, ...inverses].find(({ type }) => type.type === call.type)
  if (!action) throw new GuildError('GUILD_ACTION_INVALID', { type: call.type, why: 'GitHub knows no such action' })
  return action
}
