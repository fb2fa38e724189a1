/**
 * Attribute names in one place, because the convention still changes: GenAI semantic conventions, status Development, as of the names
 * released with OpenTelemetry semantic conventions 1.41, since then kept in open-telemetry/semantic-conventions-genai.
 * https://github.com/open-telemetry/semantic-conventions-genai
 */
export const semanticConventions = 'gen_ai 1.41 (Development)'

export const genAi = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  /** all input, cached included */
  inputTokens: 'gen_ai.usage.input_tokens',
  /** all output, reasoning included */
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheCreationTokens: 'gen_ai.usage.cache_creation.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',
  agentId: 'gen_ai.agent.id',
  agentName: 'gen_ai.agent.name',
  agentVersion: 'gen_ai.agent.version',
  toolName: 'gen_ai.tool.name',
  toolType: 'gen_ai.tool.type',
  toolCallId: 'gen_ai.tool.call.id',
  conversation: 'gen_ai.conversation.id',
} as const

/** Values of `gen_ai.operation.name`, which also begin the names of spans. */
export const operations = { run: 'invoke_agent', chat: 'chat', tool: 'execute_tool' } as const

export const errorType = 'error.type'

export const guild = {
  eventId: 'guild.event.id',
  eventType: 'guild.event.type',
  source: 'guild.event.source',
  connector: 'guild.connector',
  deliveryId: 'guild.delivery.id',
  receiptId: 'guild.receipt.id',
  priority: 'guild.priority',
  disposition: 'guild.disposition',
  rule: 'guild.rule',
  codexCommit: 'guild.codex.commit',
  causalDepth: 'guild.causal.depth',
  causalRoot: 'guild.causal.root',
  causalParent: 'guild.causal.parent',
  invocationId: 'guild.invocation.id',
  agents: 'guild.agents',
  attempt: 'guild.attempt',
  state: 'guild.run.state',
  reason: 'guild.run.reason',
  queuedMs: 'guild.run.queued_ms',
  costMicros: 'guild.cost.micros',
  estimated: 'guild.usage.estimated',
  priceVersion: 'guild.price.version',
  stepSeq: 'guild.step.seq',
  contextId: 'guild.context.id',
  contextOutcome: 'guild.context.outcome',
  integrity: 'guild.integrity',
  fromJournal: 'guild.tool.from_journal',
  actionId: 'guild.action.id',
  actionType: 'guild.action.type',
  actionState: 'guild.action.state',
  actionTarget: 'guild.action.target',
  confirmedBy: 'guild.action.confirmed_by',
  auditType: 'guild.audit.event_type',
  /** told again by a process that came later, because the one before may have died with it */
  retold: 'guild.retold',
} as const
