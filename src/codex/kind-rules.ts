import { z } from 'zod'
import { apiVersion, cel, head, name } from './kind-fields.ts'

const template = z
  .unknown()
  .describe('JSON whose strings may hold {{event.…}}, {{payload.…}}, {{metadata.…}}, {{context.…}}, {{agent.…}}')

/** What the `rules` provider follows. */
export const rules = z.strictObject({
  apiVersion,
  kind: z.literal('Rules'),
  metadata: head,
  spec: z.strictObject({
    rules: z.array(
      z.strictObject({
        name,
        when: cel,
        do: z.array(z.strictObject({ action: z.string(), args: z.record(z.string(), template) })).default([]),
        summary: z.string().optional().describe('template; what the run says it did'),
        stop: z.boolean().default(false),
      }),
    ),
  }),
})
