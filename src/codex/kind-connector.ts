import { z } from 'zod'
import { readCallRate } from '../kernel/call-rate.ts'
import { apiVersion, dataClass, head, name, toolClass } from './kind-fields.ts'

const callRates = z
  .array(z.string().refine((text) => readCallRate(text) !== null, 'calls per span, as in 80/1m; at most 7 days'))
  .max(6)
  .refine(
    (rates) => new Set(rates.map((text) => readCallRate(text)?.perMs)).size === rates.length,
    'two rates for one span: write the smaller one',
  )

/** A system outside: how it is reached, how often, and what may be said of what it holds. */
export const connector = z.strictObject({
  apiVersion,
  kind: z.literal('Connector'),
  metadata: head,
  spec: z.strictObject({
    system: z.enum(['github']).describe('the target and source this connector speaks to'),
    mode: z.enum(['shadow', 'live']).default('shadow'),
    chapter: name.optional(),
    secret: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/)
      .optional()
      .describe('name of the environment variable with the webhook secret(s)'),
    token: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/)
      .optional()
      .describe('name of the environment variable with the API token'),
    baseUrl: z.url().optional(),
    rate: z
      .strictObject({
        writes: callRates.optional().describe('actions; default on api.github.com: 80/1m, 500/1h'),
        reads: callRates
          .optional()
          .describe('requests of the built-in read tools; default on api.github.com: 900/1m, 5000/1h'),
      })
      .default({})
      .describe('how often the system may be called, over all processes; [] lifts the default'),
    botLogins: z.array(z.string()).default([]).describe('our own accounts: their events are echoes'),
    version: z
      .string()
      .regex(/^\d+\.\d+\.\d+(-[\w.]+)?$/, 'semver')
      .optional()
      .describe('of what it connects to; agents may require a range'),
    capabilities: z.array(z.string().min(1).max(80)).default([]).describe('e.g. tickets.read; agents may require one'),
    dataClass: dataClass.default('internal').describe('how confidential what it holds is; also of its events'),
    toolClasses: z
      .record(z.string(), dataClass)
      .default({})
      .describe('tools, without the connector’s name, that differ'),
    tools: z
      .union([
        z.strictObject({ builtin: z.enum(['github']) }),
        z.strictObject({
          url: z.url(),
          headers: z.record(z.string(), z.string()).optional().describe('values may be ${ENV_NAME}'),
        }),
        z.strictObject({
          command: z.string().min(1),
          args: z.array(z.string()).default([]),
          env: z.array(z.string()).default([]).describe('names passed through'),
        }),
      ])
      .optional()
      .describe('the MCP server that answers reads'),
    toolAccess: z
      .record(z.string().regex(/^[\w-]+$/), toolClass)
      .default({})
      .describe('what its tools do, without the connector’s name; holds before the class in tools.lock.yaml'),
    integrity: z
      .enum(['member', 'outsider', 'public'])
      .default('outsider')
      .describe('whose words its results hold, where the server is not built in: the least trusted author'),
  }),
})
