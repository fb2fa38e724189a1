import { z } from 'zod'
import { apiVersion, cel, head, name, priority } from './kind-fields.ts'

/** Which events wake whom. */
export const routing = z.strictObject({
  apiVersion,
  kind: z.literal('Routing'),
  metadata: head,
  spec: z.strictObject({
    rules: z.array(
      z.strictObject({
        name,
        event_type: z.string().min(1).describe('an event type, or * for all'),
        source: z.string().optional(),
        where: cel.optional(),
        target_agents: z
          .array(z.string())
          .min(1)
          .describe('agent types or names; a type wakes the agent of the event’s chapter, else the org-wide one'),
        priority: priority.optional(),
      }),
    ),
    mute: z
      .array(
        z.strictObject({
          name,
          event_type: z.string().min(1),
          source: z.string().optional(),
          where: cel.optional(),
          reason: z.string().min(1),
        }),
      )
      .default([]),
  }),
})
