import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { Settings } from '../config/settings.ts'
import { statements } from '../database/statements.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'
import { type DeliveryAnswer, deliver } from '../sandbox/deliver.ts'
import { type Sandbox, sandboxLogin, sandboxToken, startSandbox } from '../sandbox/sandbox.ts'
import { roles } from './roles.ts'
import { sealHome } from './sealed-home.ts'
import { type Serving, serve } from './serve.ts'

const sql = statements(import.meta.url, './rehearsal.sql', ['unfinished'])

export interface RehearsalOptions {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version: string
  /** a folder of its own, emptied first */
  readonly home: string
  /** connectors that really write, to the sandbox; none: shadow */
  readonly live: readonly string[]
  /** true: agents follow their rules, whatever keys are set, so that a rehearsal costs nothing */
  readonly rulesOnly: boolean
}

const pollMs = 60

/**
 * A whole guild beside a sandbox GitHub: real gateway, real bus, real agents, a database of its own, and nothing that could reach the
 * outside world. For `guild demo`, `guild try` and tests.
 */
export class Rehearsal implements AsyncDisposable {
  readonly serving: Serving
  readonly sandbox: Sandbox
  readonly settings: Settings
  readonly #secret: string
  readonly #stop: AbortController
  readonly #served: Promise<void>

  private constructor(parts: {
    serving: Serving
    sandbox: Sandbox
    settings: Settings
    secret: string
    stop: AbortController
    served: Promise<void>
  }) {
    this.serving = parts.serving
    this.sandbox = parts.sandbox
    this.settings = parts.settings
    this.#secret = parts.secret
    this.#stop = parts.stop
    this.#served = parts.served
  }

  static async open({ settings: given, env, version, home, live, rulesOnly }: RehearsalOptions): Promise<Rehearsal> {
    await rm(home, { recursive: true, force: true })
    await sealHome(home)
    const secret = randomBytes(24).toString('hex')
    const sandbox = await startSandbox({ clock: systemClock })
    const settings: Settings = {
      ...given,
      home,
      live: [...live],
      databaseUrl: undefined,
      eventBusUrl: new Secret('postgres:'),
      redisUrl: undefined,
      // In the rehearsal's home: its housekeeping would clear the real ones out.
      artifactsUrl: undefined,
      recordTo: undefined,
      otlpEndpoint: undefined,
      otlpTracesEndpoint: undefined,
      url: undefined,
      // What is refused on purpose is part of the story, not of the log.
      logLevel: given.logLevel === 'info' ? 'error' : given.logLevel,
      githubApiUrl: sandbox.url,
      githubToken: new Secret(sandboxToken),
      githubWebhookSecrets: [new Secret(secret)],
      githubBotLogin: sandboxLogin,
      ...(rulesOnly && {
        anthropicApiKey: undefined,
        anthropicBaseUrl: undefined,
        openaiApiKey: undefined,
        openaiBaseUrl: undefined,
      }),
    }
    const stop = new AbortController()
    const ready = Promise.withResolvers<Serving>()
    const served = serve({
      settings,
      // Keys in the environment open nothing here that the settings do not name.
      env: rulesOnly ? {} : env,
      sealed: true,
      roles,
      version,
      signal: stop.signal,
      onReady: (serving) => ready.resolve(serving),
    })
    // A failure before readiness must not wait for a readiness that never comes.
    served.catch((error: unknown) => ready.reject(error))
    try {
      const serving = await ready.promise
      sandbox.github.pointTo({ url: `${serving.url}/webhooks/github`, secret })
      return new Rehearsal({ serving, sandbox, settings, secret, stop, served })
    } catch (error) {
      await sandbox.close()
      throw error
    }
  }

  /** Sends a webhook as GitHub does: signed with our secret, unless told otherwise. */
  async send(
    event: string,
    body: object | string,
    options: {
      readonly delivery?: string
      readonly secret?: string
      readonly headers?: Readonly<Record<string, string | undefined>>
    } = {},
  ): Promise<DeliveryAnswer> {
    return deliver({ url: `${this.serving.url}/webhooks/github`, event, body, secret: this.#secret, ...options })
  }

  /**
   * Waits until everything received so far has ended: no run and no action on its way, nothing left on the bus.
   * @param received receptions that must have been decided by then
   * @throws GUILD_INTERNAL after `withinMs`, naming what is still on its way
   */
  async settled(received: number, withinMs: number): Promise<void> {
    const until = Date.now() + withinMs
    for (;;) {
      const [{ rows }, lag] = await Promise.all([
        this.serving.guild.database.query<{ count: number; received: number }>(sql.unfinished),
        this.serving.guild.bus.lag(),
      ])
      const waiting = lag.reduce((sum, one) => sum + one.ready + one.inFlight + one.delayed, 0)
      const open = rows[0]?.count ?? 0
      if (open === 0 && waiting === 0 && (rows[0]?.received ?? 0) >= received) return
      if (Date.now() > until) {
        throw new GuildError('GUILD_INTERNAL', {
          why: `after ${withinMs} ms ${open} runs or actions and ${waiting} messages are still on their way`,
        })
      }
      await systemClock.sleep(pollMs)
    }
  }

  /** GitHub's REST API as the sandbox serves it, read with our token. */
  async readGithub(path: string): Promise<unknown> {
    const token = this.settings.githubToken?.reveal() ?? ''
    const response = await fetch(`${this.sandbox.url}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(5_000),
    })
    return response.json()
  }

  /** Resolves when the server has stopped by itself or through `stop`. */
  async closed(): Promise<void> {
    await this.#served
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#served
    await this.sandbox.close()
  }
}
