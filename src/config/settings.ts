import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import { isOneLine, Secret } from '../kernel/secret.ts'

interface Row<T> {
  readonly env: string
  readonly about: string
  readonly schema: z.ZodType<T, string | undefined>
  readonly default?: string
  readonly secret?: boolean
  /** what people may see of a secret; default `[secret]` */
  readonly shown?: (value: string) => string
}

const text = z.string().min(1)
const url = z.url()
const port = z
  .string()
  .regex(/^\d{1,5}$/, 'it takes a port, 0 to 65535')
  .transform(Number)
  .pipe(z.int().min(0).max(65_535))
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
)
const notOneLine = 'it holds a line break or another control character'
const secret = z
  .string()
  .min(1)
  .refine(isOneLine, notOneLine)
  .transform((value) => new Secret(value))
/** A typing error would else be an unknown host, which is waited for. */
const databaseAddress = secret
  .refine(
    (value) => /^(postgres(ql)?|socket):/.test(value.reveal()),
    'it takes an address that begins with postgres:// (or postgresql://, or socket:)',
  )
  .optional()
/** Several secrets, comma-separated, for rotation. */
const secrets = z
  .string()
  .refine(isOneLine, notOneLine)
  .transform((value) =>
    value
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean)
      .map((item) => new Secret(item)),
  )
/** Milliseconds, an hour at most: a longer one is a unit mistaken. */
const ms = z
  .string()
  .regex(/^\d{1,7}$/, 'it takes milliseconds')
  .transform(Number)
  .pipe(z.int().min(0).max(3_600_000))
/** Shorter than two weeks would take away what a grant may set going again, or a replay repeat. */
const days = z
  .string()
  .regex(/^(off|\d{1,5})$/, 'it takes a number of days, or off')
  .transform((value) => (value === 'off' ? null : Number(value)))
  .refine((value) => value === null || value >= 14, 'it takes at least 14 days, or off')
const flag = z.enum(['true', 'false', '1', '0']).transform((value) => value === 'true' || value === '1')

/** One row per setting (public names). Every secret is also read from the file that `NAME_FILE` names. */
export const settingRows = {
  home: row('GUILD_HOME', 'folder of the embedded database, keys and artifacts', text, { default: '.guild' }),
  host: row('HOST', 'address to bind to; loopback unless you say otherwise', text, { default: '127.0.0.1' }),
  port: row(
    'PORT',
    'port of gateway, API, console and probes; when it is in use `guild up` takes the next free one, and `guild run` stops',
    port,
    { default: '8080' },
  ),
  url: row('GUILD_URL', 'where the CLI finds a running guild; default: the one on this GUILD_HOME', url.optional()),
  apiKey: row(
    'GUILD_API_KEY',
    'bearer key of the CLI; default: for the guild of this GUILD_HOME its admin key',
    secret.optional(),
    {
      secret: true,
    },
  ),
  adminKey: row(
    'GUILD_ADMIN_KEY',
    'an admin key of yours (32 characters or more) for processes without a lasting GUILD_HOME; default: one made in GUILD_HOME',
    z
      .string()
      .regex(/^[\w-]{32,190}$/, 'it takes 32 to 190 letters, digits, - and _')
      .transform((value) => new Secret(value))
      .optional(),
    { secret: true },
  ),
  databaseUrl: row('DATABASE_URL', 'PostgreSQL 15 or later; absent: the embedded database', databaseAddress, {
    secret: true,
  }),
  eventBusUrl: row(
    'EVENT_BUS_URL',
    'postgres: uses the database; redis://host:6379 carries runs and actions, the database the rest',
    secret,
    {
      default: 'postgres:',
      secret: true,
      shown: withoutPath,
    },
  ),
  redisUrl: row(
    'REDIS_URL',
    'redis://[user:password@]host:6379, rediss: for TLS, ?cluster=true for a cluster; absent: the database counts limits',
    secret.optional(),
    { secret: true, shown: withoutPath },
  ),
  databaseConnections: row(
    'DATABASE_CONNECTIONS',
    'connections of one process to DATABASE_URL, at most, and one more that listens',
    z
      .string()
      .regex(/^\d{1,3}$/, 'it takes a number')
      .transform(Number)
      .pipe(z.int().min(2).max(200)),
    { default: '10' },
  ),
  startupWaitMs: row(
    'STARTUP_WAIT_MS',
    'how long a starting process waits for a database or a bus that is not up yet',
    ms,
    { default: '60000' },
  ),
  drainMs: row(
    'DRAIN_MS',
    'after SIGTERM: all that is in flight has settled or is handed back within this, or the exit code says that it has not',
    ms,
    { default: '15000' },
  ),
  drainGraceMs: row(
    'DRAIN_GRACE_MS',
    'of DRAIN_MS: how long /readyz says 503 before deliveries are refused, so that a load balancer notices; default: 2000 for `guild run gateway`, else 0',
    ms.optional(),
  ),
  artifactsUrl: row('ARTIFACTS_URL', 'file:<folder>; default: artifacts/ in GUILD_HOME', text.optional()),
  codexUrl: row('CODEX_URL', 'path or Git URL of the Codex, #branch; default: the sample Codex', text.optional()),
  codexRefreshMs: row(
    'CODEX_REFRESH_MS',
    'how often the Codex is looked at for a new commit',
    text.regex(/^\d+$/).transform(Number),
    { default: '5000' },
  ),
  logLevel: row(
    'LOG_LEVEL',
    'debug, info, warn, error or silent',
    z.enum(['debug', 'info', 'warn', 'error', 'silent']),
    { default: 'info' },
  ),
  live: row(
    'GUILD_LIVE',
    'connectors that really write, comma-separated (github); all others only show what they would send',
    list,
    { default: '' },
  ),
  organisation: row('GUILD_ORGANISATION', 'name of the organisation in the ledger', text, { default: 'default' }),
  githubWebhookSecrets: row('GITHUB_WEBHOOK_SECRET', 'secret(s) of the GitHub webhook', secrets, {
    default: '',
    secret: true,
  }),
  githubToken: row('GITHUB_TOKEN', 'token for GitHub reads and writes', secret.optional(), { secret: true }),
  githubApiUrl: row('GITHUB_API_URL', 'GitHub API; https://HOST/api/v3 for GitHub Enterprise', url, {
    default: 'https://api.github.com',
  }),
  githubBotLogin: row('GITHUB_BOT_LOGIN', 'login our token acts as: its events are echoes', text.optional()),
  anthropicApiKey: row('ANTHROPIC_API_KEY', 'key for Anthropic models', secret.optional(), { secret: true }),
  anthropicBaseUrl: row('ANTHROPIC_BASE_URL', 'Anthropic API or a server that speaks it', url.optional()),
  openaiApiKey: row('OPENAI_API_KEY', 'key for OpenAI models', secret.optional(), { secret: true }),
  openaiBaseUrl: row('OPENAI_BASE_URL', 'OpenAI API or a server that speaks it', url.optional()),
  recordTo: row('GUILD_RECORD', 'folder: every model answer is recorded there, prompts included', text.optional()),
  replayFrom: row('GUILD_REPLAY', 'folder of recordings; the model alias replay answers from it', text.optional()),
  otlpEndpoint: row(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'OpenTelemetry collector, without /v1/traces: every run is sent there as one trace; absent: nothing is traced',
    url.optional(),
  ),
  otlpTracesEndpoint: row(
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'the whole address for traces, instead of OTEL_EXPORTER_OTLP_ENDPOINT',
    url.optional(),
  ),
  otlpHeaders: row(
    'OTEL_EXPORTER_OTLP_HEADERS',
    'headers for the collector: name=value,name=value',
    secret.optional(),
    {
      secret: true,
    },
  ),
  otlpTracesHeaders: row(
    'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
    'the same for traces alone, instead of OTEL_EXPORTER_OTLP_HEADERS',
    secret.optional(),
    { secret: true },
  ),
  otelServiceName: row('OTEL_SERVICE_NAME', 'service.name of the traces', text, { default: 'guild' }),
  retentionEventsDays: row(
    'GUILD_RETENTION_EVENTS_DAYS',
    'events with their receipts, decisions, runs, actions and approvals are kept so long, by whole weeks; off: for ever',
    days,
    { default: '90' },
  ),
  retentionStepsDays: row(
    'GUILD_RETENTION_STEPS_DAYS',
    'journals of runs are kept so long, by whole weeks, and never longer than their events; off: as long as those',
    days,
    { default: '90' },
  ),
  retentionAuditDays: row(
    'GUILD_RETENTION_AUDIT_DAYS',
    'the audit trail is kept so long, by whole months; its dropped part stays provable; off: for ever',
    days,
    { default: '400' },
  ),
  retentionTranscriptsDays: row(
    'GUILD_RETENTION_TRANSCRIPTS_DAYS',
    'no transcript is kept longer, whatever retention.transcript of its agent says; off: as that says',
    days,
    { default: '30' },
  ),
  color: row('NO_COLOR', 'any value switches colours off', z.string().optional()),
  ci: row('CI', 'set by build servers: no progress bars', flag.optional()),
} as const

type Rows = typeof settingRows
export type SettingName = keyof Rows
export type Settings = { readonly [Name in SettingName]: Rows[Name] extends Row<infer T> ? T : never }
export type SettingSource = 'default' | 'environment' | 'file'

export interface EffectiveSetting {
  readonly env: string
  readonly about: string
  readonly source: SettingSource
  /** `[secret]` for secrets that are set; URLs without the credentials they may carry */
  readonly shown: string
}

/** Reads and validates every setting. @throws GUILD_CONFIG_INVALID naming the variable */
export function loadSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const entries = Object.entries(settingRows).map(([name, setting]: [string, Row<unknown>]) => [
    name,
    parse(setting, read(setting, env).value),
  ])
  return Object.fromEntries(entries) as Settings
}

/** What `guild config` prints. */
export function effectiveSettings(env: Readonly<Record<string, string | undefined>>): readonly EffectiveSetting[] {
  return Object.values(settingRows).map((setting: Row<unknown>) => {
    const { value, source } = read(setting, env)
    return {
      env: setting.env,
      about: setting.about,
      source,
      shown: value && setting.secret ? (setting.shown?.(value) ?? '[secret]') : withoutCredentials(value ?? ''),
    }
  })
}

/** Scheme and host of a URL, which is all that is no secret for sure. */
function withoutPath(value: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(value)?.[0] ?? ''
  const { host, pathname } = URL.canParse(value) ? new URL(value) : { host: '', pathname: '' }
  // An @ behind the host: a password with a slash in it, read wrongly.
  return host === '' || pathname.includes('@') ? scheme || '[secret]' : `${scheme}//${host}`
}

function withoutCredentials(value: string): string {
  return value.replaceAll(/(\w+:\/\/)[^/\s]*@/g, '$1[secret]@')
}

function read(
  setting: Row<unknown>,
  env: Readonly<Record<string, string | undefined>>,
): { value: string | undefined; source: SettingSource } {
  const direct = env[setting.env]
  if (direct !== undefined && direct !== '') return { value: direct, source: 'environment' }
  const file = setting.secret ? env[`${setting.env}_FILE`] : undefined
  if (!file) return { value: setting.default, source: 'default' }
  try {
    return { value: readFileSync(file, 'utf8').trim(), source: 'file' }
  } catch (error) {
    throw new GuildError(
      'GUILD_CONFIG_INVALID',
      { name: `${setting.env}_FILE`, why: reasonOf(error) },
      { cause: error },
    )
  }
}

function parse<T>(setting: Row<T>, value: string | undefined): T {
  const result = setting.schema.safeParse(value)
  if (result.success) return result.data
  const why = result.error.issues[0]?.message ?? 'it does not fit'
  throw new GuildError('GUILD_CONFIG_INVALID', { name: setting.env, why })
}

function row<T>(
  env: string,
  about: string,
  schema: z.ZodType<T, string | undefined>,
  more: Pick<Row<T>, 'default' | 'secret' | 'shown'> = {},
): Row<T> {
  return { env, about, schema, ...more }
}
