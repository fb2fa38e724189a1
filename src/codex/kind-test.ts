import { z } from 'zod'
import { integrities } from '../kernel/event.ts'
import { apiVersion, head, name, priority } from './kind-fields.ts'

/** What the Codex promises of itself: `guild codex lint` runs these without any model or network. */
export const test = z.strictObject({
  apiVersion,
  kind: z.literal('Test'),
  metadata: head,
  spec: z.strictObject({
    tests: z
      .array(
        z.strictObject({
          name,
          event: z.strictObject({
            type: z.string().min(1),
            source: z.string().min(1).default('github'),
            chapter: name.optional().describe('default: the chapter that owns payload.repo'),
            priority: priority.default('NORMAL'),
            actor: z.string().default('octocat'),
            integrity: z.enum(integrities).default('member'),
            self: z.boolean().default(false),
            payload: z.record(z.string(), z.unknown()).default({}),
          }),
          context: z
            .record(z.string(), z.unknown())
            .default({})
            .describe('what the context items would have brought, by id'),
          expect: z.strictObject({
            disposition: z.enum(['ROUTED', 'UNROUTED', 'FILTERED', 'MUTED']).optional(),
            agents: z.array(z.string()).optional().describe('exactly these are woken, in any order'),
            decisions: z
              .array(
                z.strictObject({
                  agent: z.string(),
                  matched: z.array(z.string()).optional().describe('exactly these rules, in order'),
                  actions: z
                    .array(
                      z.strictObject({
                        action: z.string(),
                        args: z.record(z.string(), z.unknown()).default({}).describe('these, and perhaps others'),
                        contains: z.record(z.string(), z.string()).default({}).describe('argument: part of its text'),
                        lacks: z.record(z.string(), z.string()).default({}).describe('argument: not in its text'),
                      }),
                    )
                    .optional()
                    .describe('exactly these actions, in order'),
                  summary: z.string().optional().describe('part of it'),
                }),
              )
              .default([])
              .describe('what the agents’ rules decide'),
          }),
        }),
      )
      .min(1),
  }),
})
