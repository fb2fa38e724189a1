import { z } from 'zod'

/** `spec.handoff` of an agent: to whom it may pass a part of its work on. */
export const handoff = z.strictObject({
  to: z.array(z.string().min(1).max(100)).min(1).max(20).describe('agent types or names'),
  maxDepth: z.int().min(1).max(5).default(2).describe('hand-offs in a row'),
  budgetShare: z
    .number()
    .min(0.01)
    .max(1)
    .default(0.3)
    .describe('of what the giver has left; the receiver has that or its own limits, whichever is less'),
})
