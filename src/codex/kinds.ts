import { z } from 'zod'
import { detectorClasses } from '../kernel/data-class.ts'
import { durationMs } from '../kernel/duration.ts'
import { connector } from './kind-connector.ts'
import {
  apiVersion,
  cel,
  dataClass,
  duration,
  head,
  name,
  path,
  priority,
  semverRange,
  tokens,
  toolClass,
  usd,
} from './kind-fields.ts'
import { handoff } from './kind-handoff.ts'
import { person } from './kind-person.ts'
import { provider } from './kind-provider.ts'
import { routing } from './kind-routing.ts'
import { rules } from './kind-rules.ts'
import { test } from './kind-test.ts'

/**
 * The kinds of the Codex (public; JSON Schemas are generated from here into `docs/schemas/`). Objects are strict: a field that this
 * version does not know is an error with a line, never silently ignored.
 */
/** A held action keeps its place in its lane, so what comes after it waits as long. */
const hold = duration.refine((text) => durationMs(text) <= 24 * 3_600_000, 'at most 24h')
const holdMin = z
  .record(z.string(), hold)
  .default({})
  .describe('least hold per action type, or `*`; the longest of grant, chapter and policies holds')
const detectorClass = z.enum(detectorClasses)

const quota = z.strictObject({
  tokens: z
    .strictObject({ monthly: tokens.optional(), daily: tokens.optional(), hourly: tokens.optional() })
    .optional(),
  cost: z.strictObject({ monthly: usd.optional(), daily: usd.optional(), hourly: usd.optional() }).optional(),
})

/** What a policy may take away from a level on; the list is closed, and each has one effect (docs/ledger.md). */
export const degradations = [
  'smaller-model',
  'trim-context',
  'no-background',
  'only-high',
  'ask',
  'rules-only',
] as const
export type Degradation = (typeof degradations)[number]
const inForce = z.array(z.enum(degradations)).default([])

const concurrency = z
  .strictObject({
    max: z.int().min(1).max(1_000).describe('runs of one key at the same time'),
    key: cel.optional().describe('over event, payload, metadata; none: all runs of the agent count together'),
    overlap: z
      .enum(['queue', 'coalesce', 'drop', 'cancel_old'])
      .default('queue')
      .describe(
        'when the key is busy: wait in line; join the run that waits; end as RATE_LIMITED; stop the oldest run at its next edge',
      ),
  })
  .describe('how many runs of a key may run at the same time, and what becomes of the others')

const limits = z.strictObject({
  maxSteps: z.int().min(1).max(100).default(12).describe('model calls'),
  maxToolCalls: z.int().min(0).max(500).default(24),
  maxParallelTools: z.int().min(1).max(16).default(4),
  tokensPerInvocation: tokens.default(60_000).describe('input and output, worst case counted before each call'),
  costPerInvocation: usd.default(0.4).describe('USD'),
  budget: quota.default({}).describe('of this agent, over all its runs; counted whether limited or not'),
  landingReserve: z.int().min(0).max(100_000).default(2_500).describe('tokens kept for the closing call'),
  maxActiveDuration: duration.default('300s').describe('wall clock while RUNNING'),
  maxWait: duration.default('24h').describe('total time in WAITING_* states'),
  concurrency: concurrency.optional(),
  causal: z
    .strictObject({
      maxDepth: z.int().min(0).max(20).default(4).describe('how deep in a tree of causes it may still be woken'),
      maxCostPerTree: usd.default(2),
      maxFanOut: z.int().min(1).max(1_000).default(20).describe('runs of all agents in a tree before it joins no more'),
    })
    .default({ maxDepth: 4, maxCostPerTree: 2, maxFanOut: 20 }),
})

/** Limits that a chapter or policy may bound; absent: not bounded here. */
const bounds = z.strictObject({
  maxSteps: z.int().min(1).max(100).optional(),
  maxToolCalls: z.int().min(0).max(500).optional(),
  maxParallelTools: z.int().min(1).max(16).optional(),
  tokensPerInvocation: tokens.optional(),
  costPerInvocation: usd.optional(),
  maxActiveDuration: duration.optional(),
  maxWait: duration.optional(),
})
const limitRange = z
  .strictObject({
    default: bounds.default({}).describe('for manifests that do not say'),
    max: bounds.default({}).describe('whatever manifests say; the stricter holds'),
  })
  .describe('of limits in manifests')
const ceilings = z
  .array(
    z.strictObject({
      type: z.string().min(1).max(80).describe('glob over the action type, e.g. GITHUB_*'),
      targets: z.array(z.string().min(1)).min(1).default(['*']).describe('globs over the target'),
      max: z.int().min(0).max(3),
    }),
  )
  .default([])
  .describe('highest autonomy by action type and target; the strictest that fits holds')

export const cronTrigger = z.strictObject({
  cron: z.string().min(9).max(100).describe('five fields: minute hour day month weekday'),
  timezone: z
    .string()
    .min(1)
    .max(50)
    .default('UTC')
    .describe('IANA zone; `user`: once for each person, in the zone of their file in people/'),
  intent: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,79}$/)
    .describe('what for, e.g. DAILY_RAVEN; names the schedule, so one of each per agent'),
  priority: priority.default('NORMAL'),
  catchUp: duration
    .default('4h')
    .describe('after a pause the latest slot is made up for if it is no older; older ones are missed'),
})

export const trigger = z.union([
  z.strictObject({
    event: z.string().min(1),
    source: z.string().min(1).optional(),
    where: cel.optional(),
    priority: priority.optional(),
  }),
  cronTrigger,
  z.strictObject({ manual: z.literal(true), roles: z.array(z.string()).optional() }),
])

const contextPriority = z
  .int()
  .min(0)
  .max(100)
  .default(50)
  .describe('of the items that are not required the lowest is left out first when a prompt does not fit')

export const contextItem = z.union([
  z.strictObject({
    id: z.string().regex(/^[a-z][a-z0-9_]{0,40}$/),
    tool: z.string().regex(/^[a-z0-9-]+\.[\w-]+$/, 'connector.tool'),
    args: z.record(z.string(), z.unknown()).default({}).describe('templates: {{event.payload.number}}'),
    required: z.boolean().default(false),
    when: cel.optional(),
    maxTokens: z.int().min(50).max(200_000).default(3_000),
    priority: contextPriority,
    timeout: duration.default('15s'),
  }),
  z.strictObject({
    id: z.string().regex(/^[a-z][a-z0-9_]{0,40}$/),
    codex: path,
    required: z.boolean().default(true),
    maxTokens: z.int().min(50).max(200_000).default(2_000),
    priority: contextPriority,
  }),
])

export const actionGrant = z.strictObject({
  type: z.string().regex(/^[A-Z][A-Z0-9_]+$/),
  autonomy: z.int().min(0).max(3).default(0).describe('0 recommend only, 1 ask, 2 act and tell, 3 act silently'),
  max: z.int().min(0).max(100).default(1).describe('per run'),
  targets: z.array(z.string().min(1)).default(['*']).describe('globs over the target, e.g. octo/shop#*'),
  within: z
    .enum(['thread'])
    .optional()
    .describe('thread: only where the run was woken, the event’s own issue, pull request or its head commit'),
  expires: duration.default('24h').describe('from the end of the hold'),
  hold: hold.optional().describe('waits so long on the desk before it is carried out; a person may stop or edit it'),
  await: z
    .boolean()
    .default(false)
    .describe('the run is put down until the action is over, and the model is told what came of it'),
  when: cel.optional(),
})

export const agent = z.strictObject({
  apiVersion,
  kind: z.literal('Agent'),
  metadata: head.extend({
    type: z.string().min(1).max(50),
    chapter: name.optional(),
    version: z.string().regex(/^\d+\.\d+\.\d+(-[\w.]+)?$/, 'semver'),
    owner: z.string().min(1).max(100),
    description: z.string().max(500).optional(),
  }),
  spec: z.strictObject({
    capabilities: z.array(z.string().regex(/^[A-Z][A-Z0-9_]*$/)).default([]),
    requires: z
      .strictObject({
        agents: z.array(z.strictObject({ type: z.string(), version: semverRange })).default([]),
        connectors: z
          .array(z.strictObject({ name, capability: z.string().optional(), version: semverRange.optional() }))
          .default([]),
      })
      .default({ agents: [], connectors: [] }),
    prompt: z.strictObject({
      system: path,
      rules: z.array(path).default([]).describe('appended in this order: a stable cache prefix'),
      output: path.optional().describe('JSON Schema of the final answer'),
    }),
    rules: path.optional().describe('deterministic rules for the `rules` provider'),
    model: z
      .strictObject({
        prefer: z
          .array(z.string().min(1))
          .min(1)
          .default(['rules'])
          .describe('provider/alias, tried in order; `rules` needs no key'),
        onBudget: z
          .strictObject({
            yellow: z.string().min(1).optional(),
            orange: z.string().min(1).optional(),
            red: z.string().min(1).optional(),
          })
          .default({})
          .describe('the model that answers from a level on, where a policy names `smaller-model`'),
        inputBound: z
          .enum(['strict', 'p99'])
          .optional()
          .describe('how the input of a call is bounded before it is made; default: the policy’s, else strict'),
        maxOutputTokensPerCall: z.int().min(16).max(200_000).default(2_048),
        temperature: z.number().min(0).max(2).default(0),
      })
      .default({ prefer: ['rules'], onBudget: {}, maxOutputTokensPerCall: 2_048, temperature: 0 }),
    triggers: z.array(trigger).default([]),
    context: z.array(contextItem).max(20).default([]),
    tools: z
      .strictObject({
        allow: z
          .array(
            z.strictObject({
              name: z.string().regex(/^[a-z0-9-]+\.[\w-]+$/, 'connector.tool'),
              timeout: duration.default('15s'),
              maxCalls: z.int().min(1).max(100).default(6),
            }),
          )
          .default([])
          .describe('reads only; absence = deny'),
        actions: z
          .array(actionGrant)
          .default([])
          .describe('writes; the model sees them as tools that return a receipt'),
      })
      .default({ allow: [], actions: [] }),
    limits: limits.default(limits.parse({})),
    trust: z
      .strictObject({
        minIntegrity: z.enum(['verified', 'member', 'outsider', 'public']).default('public'),
        autonomyCeilingWhenTainted: z.int().min(0).max(3).default(1),
        dataClasses: z
          .array(dataClass)
          .min(1)
          .default(['public', 'internal'])
          .describe('what the agent may read; the rest is never fetched'),
        redact: z
          .array(detectorClass)
          .default(['secrets'])
          .describe(
            'replaced before a model sees it; secrets always are, personal data by placeholders that actions may reverse',
          ),
      })
      .default({
        minIntegrity: 'public',
        autonomyCeilingWhenTainted: 1,
        dataClasses: ['public', 'internal'],
        redact: ['secrets'],
      }),
    health: z
      .strictObject({
        failureThreshold: z.int().min(1).max(1000).default(5),
        window: duration.default('10m'),
        halfOpenAfter: duration.default('60s'),
      })
      .default({ failureThreshold: 5, window: '10m', halfOpenAfter: '60s' }),
    handoff: handoff.optional().describe('to whom it may pass a part of its work on'),
    retention: z
      .strictObject({ transcript: duration.default('30d'), journal: duration.default('30d') })
      .default({ transcript: '30d', journal: '30d' }),
  }),
})

export const chapter = z.strictObject({
  apiVersion,
  kind: z.literal('Chapter'),
  metadata: head,
  spec: z.strictObject({
    title: z.string().max(200).optional(),
    repositories: z.array(z.string()).default([]).describe('globs over owner/name; decides the chapter of an event'),
    members: z.array(z.string()).default([]),
    budget: quota.default({}),
    autonomyMax: z
      .record(z.string(), z.int().min(0).max(3))
      .default({})
      .describe('per action type; the stricter of chapter and agent holds'),
    ceilings,
    limitRange: limitRange.optional(),
    holdMin,
  }),
})

const privacyPolicy = z.strictObject({
  redact: z.array(detectorClass).default([]).describe('for every agent, beside what its manifest says'),
  patterns: z
    .array(
      z.strictObject({
        name,
        regex: z.string().min(1).max(1_000).describe('RE2 syntax: linear time, no look-around, no back references'),
        action: z.enum(['redact', 'block']).describe('redact: taken out for good; block: what holds it does not leave'),
      }),
    )
    .max(50)
    .default([]),
  blocked: z
    .array(
      z.strictObject({
        target: z.string().min(1).max(200).describe('glob over the target, e.g. octo/public-*'),
        classes: z
          .array(z.union([dataClass, detectorClass]))
          .min(1)
          .describe('data classes that the run may not have read, and personal data that the action may not hold'),
        reason: z.string().min(1).max(300),
      }),
    )
    .default([])
    .describe('what may never be sent to a target'),
  aboveTarget: z
    .enum(['ask', 'deny'])
    .default('ask')
    .describe('an action of a run that has read more confidential data than its connector holds'),
})

export const policy = z.strictObject({
  apiVersion,
  kind: z.literal('Policy'),
  metadata: head,
  spec: z.strictObject({
    budget: quota.optional().describe('of the organisation'),
    degradations: z
      .strictObject({ yellow: inForce, orange: inForce, red: inForce })
      .default({ yellow: [], orange: [], red: [] })
      .describe('what is in force from 75, 90 and 95 % of a budget of organisation, chapter or agent on'),
    inputBound: z.enum(['strict', 'p99']).optional().describe('of every agent that names none; default strict'),
    causal: z
      .strictObject({ maxDepth: z.int().min(0).max(20).optional(), maxFanOut: z.int().min(1).max(1_000).optional() })
      .optional()
      .describe('org-wide ceiling of trees of causes; the stricter of policy and agent holds'),
    autonomyMax: z.record(z.string(), z.int().min(0).max(3)).default({}).describe('org-wide ceiling per action type'),
    ceilings,
    limitRange: limitRange.optional(),
    waivers: z
      .array(
        z.strictObject({
          lint: z.enum(['trifecta']),
          agent: name,
          reason: z.string().min(1).max(500),
          approvedBy: z.string().min(1).max(100),
          expires: z.iso.date().describe('the last day, UTC; at most 180 days away'),
        }),
      )
      .default([])
      .describe('who accepts what a lint refuses, why, and until when'),
    holdMin,
    deny: z
      .array(z.strictObject({ name, action: z.string(), when: cel.optional(), reason: z.string() }))
      .default([])
      .describe('conditions over action, event, agent'),
    approvals: z.strictObject({ fourEyes: z.boolean().default(false) }).default({ fourEyes: false }),
    privacy: privacyPolicy.optional().describe('what must not reach models, targets or records'),
  }),
})

/** `tools.lock.yaml` at the root: what a person has read of the tools that others' servers offer, written by `guild codex lock`. */
export const toolLock = z.strictObject({
  apiVersion,
  kind: z.literal('ToolLock'),
  metadata: head,
  spec: z.strictObject({
    tools: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[a-z0-9-]+\.[\w-]+$/, 'connector.tool'),
          class: toolClass.describe('only a read is ever called by a run; may be changed by hand, nothing else may'),
          hash: z
            .string()
            .regex(/^[0-9a-f]{64}$/, 'SHA-256 in hex')
            .describe('of name, description, inputSchema, outputSchema and annotations as they stand here'),
          pinned: z.iso.date().describe('when'),
          description: z.string(),
          inputSchema: z.record(z.string(), z.unknown()),
          outputSchema: z.record(z.string(), z.unknown()).optional(),
          annotations: z.record(z.string(), z.unknown()).optional(),
        }),
      )
      .max(2_000)
      .default([]),
  }),
})

export const kinds = {
  Agent: agent,
  Chapter: chapter,
  Person: person,
  Routing: routing,
  Policy: policy,
  Connector: connector,
  Provider: provider,
  ToolLock: toolLock,
  Rules: rules,
  Test: test,
} as const
export type Kind = keyof typeof kinds

export type AgentManifest = z.infer<typeof agent>
export type ChapterFile = z.infer<typeof chapter>
export type PersonFile = z.infer<typeof person>
export type RoutingFile = z.infer<typeof routing>
export type PolicyFile = z.infer<typeof policy>
export type ConnectorFile = z.infer<typeof connector>
export type ProviderFile = z.infer<typeof provider>
export type ToolLockFile = z.infer<typeof toolLock>
export type ToolPin = ToolLockFile['spec']['tools'][number]
export type RulesFile = z.infer<typeof rules>
export type TestFile = z.infer<typeof test>
export type CronTrigger = z.infer<typeof cronTrigger>
export type Trigger = z.infer<typeof trigger>
export type ContextItem = z.infer<typeof contextItem>
export type ActionGrant = z.infer<typeof actionGrant>
