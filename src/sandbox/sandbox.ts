import fastify from 'fastify'
import type { Clock } from '../kernel/clock.ts'
import { type Log, silentLog } from '../kernel/log.ts'
import type { Api } from './api.ts'
import { controlRoutes } from './control.ts'
import { Echo, type HookDelivery, type WebhookAddress } from './echo.ts'
import { type Fault, Faults } from './faults.ts'
import { GithubState } from './github-state.ts'
import { guard } from './guard.ts'
import { RateLimit } from './rate-limit.ts'
import { Received, type ReceivedWrite } from './received.ts'
import { checkRoutes } from './routes/checks.ts'
import { hookRoutes } from './routes/hooks.ts'
import { labelRoutes } from './routes/labels.ts'
import { pullRoutes } from './routes/pulls.ts'
import { repositoryRoutes } from './routes/repositories.ts'
import { threadRoutes } from './routes/threads.ts'
import { plant, type SandboxSeed } from './seed.ts'
import { type MoreOfPull, seedFromWebhook } from './seed-from-webhook.ts'
import { Shapes } from './shapes.ts'

export interface SandboxOptions {
  /** 0 (default): a free one */
  readonly port?: number
  readonly clock: Clock
  readonly log?: Log
  readonly seed?: SandboxSeed
  /** where every write is echoed to; can be set later */
  readonly webhook?: WebhookAddress
}

export interface Sandbox extends AsyncDisposable {
  /** base URL of the API, for GITHUB_API_URL; also the page that shows what arrived */
  readonly url: string
  readonly github: SandboxGithub
  close(): Promise<void>
}

/** What tests and the demo may do to the sandbox from inside. */
export interface SandboxGithub {
  readonly state: GithubState
  plant(seed: SandboxSeed): void
  /** Makes what a webhook talks about exist. */
  seedFromWebhook(body: unknown, more?: MoreOfPull): void
  pointTo(webhook: WebhookAddress | null): void
  fault(fault: Fault): void
  received(): readonly ReceivedWrite[]
  deliveries(repository: string): readonly HookDelivery[]
  /** Resolves when every webhook has been sent. */
  settled(): Promise<void>
}

/** Known without any seed; acts as `sandboxLogin`. */
export const sandboxToken = 'sandbox-token'
export const sandboxLogin = 'guild[bot]'

/**
 * A stand-in for the GitHub REST API, in memory, on loopback only: what our target and tools use of it, failures on demand, and the
 * signed webhook that GitHub sends after every write. Also answers under `/api/v3`, as GitHub Enterprise does.
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { port = 0, clock, log = silentLog, seed, webhook } = options
  const state = new GithubState()
  const shapes = new Shapes(state)
  const echo = new Echo({ shapes, clock, log, address: webhook ?? null })
  const api: Api = { state, shapes, echo, clock }
  const faults = new Faults()
  const received = new Received()
  state.grant(sandboxToken, sandboxLogin)
  if (seed) plant(state, seed, clock)

  const app = fastify({
    logger: false,
    bodyLimit: 2 * 1024 * 1024,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1_000 },
    rewriteUrl: (request) => (request.url ?? '/').replace(/^\/api\/v3(?=\/)/, ''),
  })
  const stopped = new AbortController()
  guard(app, { api, faults, received, stopped: stopped.signal, rate: new RateLimit(clock, seed?.rate_limit ?? 5_000) })
  for (const routes of [repositoryRoutes, pullRoutes, threadRoutes, labelRoutes, checkRoutes, hookRoutes])
    routes(app, api)
  controlRoutes(app, api, { faults, received })

  shapes.web = await app.listen({ port, host: '127.0.0.1' })
  log.info({ url: shapes.web }, 'sandbox GitHub started')
  const close = async (): Promise<void> => {
    stopped.abort()
    await echo.stop()
    await app.close()
  }
  return {
    url: shapes.web,
    close,
    [Symbol.asyncDispose]: close,
    github: {
      state,
      plant: (more) => plant(state, more, clock),
      seedFromWebhook: (body, more) => seedFromWebhook(state, body, clock, more),
      pointTo: (address) => echo.pointTo(address),
      fault: (fault) => faults.add(fault),
      received: () => received.list(),
      deliveries: (repository) => echo.deliveries(repository),
      settled: () => echo.settled(),
    },
  }
}
