/**
 * The one catalogue of errors. Callers branch on `code` and `retryable`, never on text. `message` may be shown to anyone
 * ({name} is filled from the details); `fix` says what the reader can do. docs/errors.md is generated from this table.
 */
export interface ErrorEntry {
  readonly status: number
  readonly retryable: boolean
  readonly message: string
  readonly fix: string
}

export const errorCatalogue = {
  // kernel, config
  GUILD_INTERNAL: row(
    500,
    false,
    'something failed inside: {why}',
    'This is a bug. Run `guild doctor`, and report it with the trace id.',
  ),
  GUILD_JSON_NOT_CANONICAL: row(
    400,
    false,
    'the value has no canonical JSON form: it contains {why}',
    'Send plain JSON: finite numbers and well-formed text.',
  ),
  GUILD_CONFIG_INVALID: row(
    500,
    false,
    '{name} is not valid: {why}',
    'Run `guild config` to see every setting, its source and what it accepts.',
  ),
  GUILD_NODE_TOO_OLD: row(
    500,
    false,
    'guild needs Node 24 or later, this is {version}',
    'Run it through npm (`npm start`, `npx guild`), which brings Node 24 along.',
  ),
  // database
  GUILD_DATABASE_UNAVAILABLE: row(
    503,
    true,
    'the database cannot be reached: {why}',
    'Check DATABASE_URL and that the server accepts connections.',
  ),
  GUILD_DATABASE_NO_ACCESS: row(
    503,
    false,
    'the database does not let us in: {why}',
    'Check user, password and database name in DATABASE_URL; the database must exist, and its user may create schemas in it.',
  ),
  GUILD_DATABASE_TOO_OLD: row(
    503,
    false,
    'the database is PostgreSQL {have}, and {need} or later is needed',
    'Upgrade the server, or set DATABASE_URL to another one.',
  ),
  GUILD_DATABASE_LOCKED: row(
    503,
    false,
    'the embedded database in {home} is in use by process {pid} since {since}',
    'Reach that process at {url}, stop it, or set GUILD_HOME to another folder. For several processes set DATABASE_URL.',
  ),
  GUILD_DATABASE_NESTED: row(
    500,
    false,
    'a query was sent outside the transaction that is open in the same call',
    'Use the `tx` that the transaction hands in; one connection would wait for itself.',
  ),
  GUILD_DATABASE_REFUSED: row(
    500,
    false,
    'the database refused {statement}: {why}',
    'Usually a bug; the SQLSTATE {sqlState} says which kind. Run `guild doctor`.',
  ),
  GUILD_SCHEMA_BEHIND: row(
    503,
    false,
    'the database schema is at {have}, this version needs {need}',
    'Run `guild migrate`.',
  ),
  GUILD_SCHEMA_AHEAD: row(
    503,
    false,
    'the database schema is at {have}, this version knows only {need}',
    'A newer guild has migrated it. Upgrade this one.',
  ),
  GUILD_MIGRATION_CHANGED: row(
    500,
    false,
    'migration {file} was applied with other content',
    'Migrations are forward-only: restore the file and add a new one.',
  ),
  // redis
  GUILD_REDIS_UNAVAILABLE: row(
    503,
    true,
    'Redis cannot be reached: {why}',
    'Check EVENT_BUS_URL and REDIS_URL, and that the server accepts connections.',
  ),
  GUILD_REDIS_REFUSED: row(
    500,
    false,
    'Redis refused {command}: {why}',
    'Check that the server is Redis 7.0 or later and that its user may run scripts; else this is a bug.',
  ),
  // bus
  GUILD_MESSAGE_INVALID: row(
    422,
    false,
    'the message {id} cannot be published on {topic}: {why}',
    'Bodies are JSON of at most 26 MiB; topics, ids and keys are well-formed text without U+0000.',
  ),
  // cache
  GUILD_CACHE_UNAVAILABLE: row(
    503,
    true,
    'the cache has no answer: {why}',
    'Try again: somebody else is counting, or has died doing so. When it stays, see what the log says of the database.',
  ),
  GUILD_CACHE_INVALID: row(
    422,
    false,
    'the cache cannot keep {key}: {why}',
    'This is a bug of the caller: the bounds of keys, values and limits are in docs/cache.md.',
  ),
  // http
  GUILD_UNAUTHENTICATED: row(
    401,
    false,
    'no valid API key',
    'Send `Authorization: Bearer <key>`; `guild up` prints where the admin key is.',
  ),
  GUILD_FORBIDDEN: row(
    403,
    false,
    'the role {role} may not do this; it takes {need}',
    'Ask an admin for a key with that role.',
  ),
  GUILD_NOT_FOUND: row(
    404,
    false,
    'there is no {what} {id}',
    'Check the id; `guild events`, `guild runs` and `guild actions` list what exists.',
  ),
  GUILD_RUN_OVER: row(
    409,
    false,
    'the run {id} is {state}: there is nothing left to cancel',
    '`guild runs show {id}` says what it did; `guild undo --run {id}` takes it back.',
  ),
  GUILD_TRANSCRIPT_GONE: row(
    404,
    false,
    'there is no transcript of {id}: {why}',
    '`guild runs show` tells the run from its journal; `retention` in the agent’s manifest says how long each is kept.',
  ),
  GUILD_REQUEST_INVALID: row(
    400,
    false,
    'the request is not valid: {why}',
    'See /openapi.json for the shape of this request.',
  ),
  // gateway
  GUILD_SOURCE_UNKNOWN: row(404, false, 'there is no webhook source {source}', 'Sources: {known}.'),
  GUILD_SOURCE_SECRET_MISSING: row(
    401,
    false,
    'the source {source} has no secret configured, so nothing it sends can be trusted',
    'Set {setting} to the secret you gave the sender.',
  ),
  GUILD_SIGNATURE_MISSING: row(
    401,
    false,
    'the delivery is not signed',
    'Set a secret on the sender’s webhook; unsigned deliveries are never accepted.',
  ),
  GUILD_SIGNATURE_INVALID: row(
    401,
    false,
    'the signature does not match any secret of {source}',
    'Compare the secret on both sides; during rotation list both, comma-separated.',
  ),
  GUILD_BODY_TOO_LARGE: row(
    413,
    false,
    'the body is larger than {bytesMax} bytes',
    'The limit is that of the sender’s own documentation; nothing it sends is larger.',
  ),
  GUILD_DELIVERY_INVALID: row(
    400,
    false,
    'the delivery lacks {what}',
    'Send it as the vendor does; see docs/sources.md.',
  ),
  GUILD_OVERLOADED: row(
    503,
    true,
    'the delivery could not be stored in time',
    'Nothing was lost: the sender will, or should, deliver it again.',
  ),
  // codex
  GUILD_CODEX_INVALID: row(
    422,
    false,
    'the Codex at {commit} has {count} error(s), the first: {first}',
    'Run `guild codex lint`. The last good commit keeps serving.',
  ),
  GUILD_CODEX_UNAVAILABLE: row(
    503,
    true,
    'the Codex {url} cannot be read: {why}',
    'Check CODEX_URL and the credentials git uses for it.',
  ),
  GUILD_CEL_INVALID: row(
    422,
    false,
    'the condition {expression} is not valid: {why}',
    'Conditions are CEL over event, payload, metadata and context; see docs/codex.md.',
  ),
  GUILD_TEMPLATE_INVALID: row(
    422,
    false,
    'a template is not valid: {why}',
    'Templates are paths, filters and loops, never code; see docs/codex.md.',
  ),
  GUILD_JSON_SCHEMA_INVALID: row(
    422,
    false,
    'a JSON Schema is not valid: {why}',
    'Write JSON Schema 2020-12 without remote references.',
  ),
  // dispatcher, executor
  GUILD_LEASE_LOST: row(
    409,
    false,
    'another worker has taken over {id}',
    'Nothing to do: the new owner continues from the journal.',
  ),
  GUILD_BUDGET_EXCEEDED: row(
    402,
    false,
    'the {level} budget of {entity} has no room for {need} ({left} left)',
    'Raise the budget in the Codex, or wait for the next period.',
  ),
  GUILD_GRANT_REFUSED: row(
    409,
    false,
    'the grant is not possible: {why}',
    'Look at `guild budgets` and `guild grants`; a lasting change belongs in the Codex.',
  ),
  GUILD_PRICE_UNKNOWN: row(
    422,
    false,
    'no price is known for {model}, and a money limit applies',
    'Add the model to a file in providers/ of the Codex.',
  ),
  GUILD_LEDGER_IMBALANCE: row(
    500,
    false,
    'the ledger does not balance: {why}',
    'Run `guild ledger verify` and report the rows it names.',
  ),
  // llm
  GUILD_LLM_UNAVAILABLE: row(
    503,
    true,
    '{provider} cannot be reached: {why}',
    'Check the provider’s base URL and status page; the run waits and tries again.',
  ),
  GUILD_LLM_OVERLOADED: row(
    503,
    true,
    '{provider} is overloaded or limits the rate: {why}',
    'The run waits as long as the provider asks, then tries the next model.',
  ),
  GUILD_LLM_REFUSED: row(
    422,
    false,
    '{provider} refused the request: {why}',
    'Read the run’s transcript; a refusal is not retried.',
  ),
  GUILD_LLM_REJECTED: row(
    422,
    false,
    '{provider} rejected the request: {why}',
    'Usually a wrong key, model name or parameter; see the reason.',
  ),
  GUILD_LLM_CONTEXT_OVERFLOW: row(
    422,
    false,
    '{provider} says the context is too long: {why}',
    'Lower maxTokens of the context items in the manifest.',
  ),
  GUILD_LLM_TIMEOUT: row(
    504,
    true,
    '{provider} was cut off: {why}',
    'The run tries again. A model that needs longer to begin than a minute is too slow for a run.',
  ),
  GUILD_LLM_UNRECORDED: row(
    422,
    false,
    'no recording answers the request {hash}',
    'Record the run first: set GUILD_RECORD to a folder and run it once with the model.',
  ),
  GUILD_PROVIDER_UNKNOWN: row(
    422,
    false,
    'no provider answers for the model {model}',
    'Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or use a model alias from providers/ of the Codex.',
  ),
  // tools
  GUILD_TOOL_UNKNOWN: row(
    422,
    false,
    'there is no tool {tool}',
    'Declare its connector in the Codex and allow the tool in the manifest.',
  ),
  GUILD_TOOL_NOT_READ_ONLY: row(
    422,
    false,
    'the tool {tool} is a write',
    'A run only reads; what writes is an action. If it is a read, say `class: read` in tools.lock.yaml.',
  ),
  GUILD_TOOL_QUARANTINED: row(
    422,
    false,
    'the tool {tool} is quarantined: {why} (offered {have}, pinned {pinned})',
    'Nobody has agreed to it as it is now. See what changed with `guild codex lock --check`; `guild codex lock` pins it, for a person to merge.',
  ),
  GUILD_TOOL_UNAVAILABLE: row(
    503,
    true,
    'the tool server {connector} cannot be reached: {why}',
    'Check the command or URL of the connector.',
  ),
  GUILD_TOOL_TIMEOUT: row(
    504,
    true,
    'the tool {tool} gave no answer within {ms} ms',
    'It was cut off; raise its timeout in the manifest (60 s at most) or make it an action.',
  ),
  GUILD_TOOL_FAILED: row(422, false, 'the tool {tool} failed: {why}', 'The model sees this text and may go on.'),
  // actions
  GUILD_ACTION_INVALID: row(
    422,
    false,
    'the action {type} is not valid: {why}',
    'See the argument schema of the action type in docs/actions.md.',
  ),
  GUILD_ACTION_STATE: row(
    409,
    false,
    'the action {id} is {state}, which allows no {verb}',
    'Reload it; somebody or something was faster.',
  ),
  GUILD_ACTION_PERMANENT: row(
    409,
    false,
    'the action {id} ({type}) cannot be taken back: {why}',
    'Mend it at the target by hand. docs/actions.md says which types have an inverse.',
  ),
  GUILD_APPROVAL_FOUR_EYES: row(
    403,
    false,
    '{who} set off the run that asks for this, and the policy wants somebody else to approve',
    'Ask another operator, or change approvals.fourEyes in the Codex.',
  ),
  GUILD_APPROVAL_STALE: row(
    409,
    false,
    'the approval no longer fits: {why}',
    'Look at the new proposal and decide again.',
  ),
  GUILD_TARGET_UNAVAILABLE: row(
    503,
    true,
    '{system} cannot be reached: {why}',
    'The action is kept and tried again with back-off.',
  ),
  GUILD_TARGET_REJECTED: row(
    422,
    false,
    '{system} rejected the call: {why}',
    'Not retried. Check the token’s permissions and the arguments.',
  ),
  GUILD_TARGET_RATE_LIMITED: row(
    429,
    true,
    '{system} limits the rate: {why}',
    'The action waits as long as the target asks.',
  ),
  // guards
  GUILD_PRIVACY_FAILED: row(
    500,
    false,
    'the privacy guard failed, so nothing passes: {why}',
    'Nothing was sent. This is a bug of the guard or of a pattern in policies/; see docs/guards.md, and report it with the trace id.',
  ),
  GUILD_PRIVACY_BLOCKED: row(
    422,
    false,
    'the privacy guard lets this not pass: {why}',
    'See spec.privacy in policies/, which names the rule, and docs/guards.md.',
  ),
  // audit
  GUILD_AUDIT_BROKEN: row(
    500,
    false,
    'the audit chain is broken at {seq}: {why}',
    'Somebody changed or removed a row. Compare with a backup; do not delete anything.',
  ),
  // processes, cli
  GUILD_PORT_TAKEN: row(500, false, 'no free port between {from} and {to}', 'Set PORT to a free one.'),
  GUILD_PORT_IN_USE: row(
    500,
    false,
    'the port {port} of {host} is taken by another program, and PORT names it',
    'Stop that program, set PORT to a free one, or leave PORT out: then the next free one is taken.',
  ),
  GUILD_DRAIN_DEADLINE: row(
    500,
    false,
    '{ms} ms after the signal to stop these had not settled: {left}',
    'Nothing is lost: what they held comes back when its lease ends. Raise DRAIN_MS, and the kill delay of the process manager above it.',
  ),
  GUILD_ROLES_NEED_SERVER: row(
    500,
    false,
    'the embedded database serves one process with all roles, not {roles}',
    'Set DATABASE_URL to run roles apart, or use `guild up`.',
  ),
  GUILD_COMMAND_INVALID: row(400, false, '{why}', 'See `guild --help`.'),
  GUILD_SERVER_UNREACHABLE: row(
    503,
    true,
    'no guild answers at {url}: {why}',
    'Start one with `guild up`, or set GUILD_URL.',
  ),
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorCatalogue
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | undefined>>

export class GuildError extends Error {
  override readonly name = 'GuildError'
  readonly code: ErrorCode
  readonly details: ErrorDetails
  /** How long the other side asked us to wait. */
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(
      fill(errorCatalogue[code].message, details),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.details = details
    this.retryAfterMs = options.retryAfterMs
  }

  get retryable(): boolean {
    return errorCatalogue[this.code].retryable
  }
  get status(): number {
    return errorCatalogue[this.code].status
  }
  get fix(): string {
    return fill(errorCatalogue[this.code].fix, this.details)
  }
}

/** The message of anything thrown, for logs and rows; never a stack. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name
  return String(error)
}

export function isGuildError(error: unknown, code?: ErrorCode): error is GuildError {
  return error instanceof GuildError && (code === undefined || error.code === code)
}

function row(status: number, retryable: boolean, message: string, fix: string): ErrorEntry {
  return { status, retryable, message, fix }
}

function fill(template: string, details: ErrorDetails): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, key: string) =>
    details[key] === undefined ? whole : String(details[key]),
  )
}
