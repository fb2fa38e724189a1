import { z } from 'zod'
import { apiVersion, head, usd } from './kind-fields.ts'

/** Where a model is served, and what it costs. */
export const provider = z.strictObject({
  apiVersion,
  kind: z.literal('Provider'),
  metadata: head,
  spec: z.strictObject({
    api: z.enum(['anthropic', 'openai', 'openai-compatible']),
    baseUrl: z.url().optional(),
    key: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/)
      .optional()
      .describe('name of the environment variable with the key'),
    structuredOutput: z
      .boolean()
      .optional()
      .describe('answers may have a JSON format beside tools; default: only at the vendor’s own address'),
    models: z
      .array(
        z.strictObject({
          alias: z.string().min(1).describe('named in manifests as <provider>/<alias>'),
          model: z.string().min(1).describe('the vendor’s id'),
          contextTokens: z.int().min(1_000).default(128_000),
          price: z
            .strictObject({
              version: z.string(),
              inputPerMillion: usd,
              outputPerMillion: usd,
              cacheReadPerMillion: usd.optional(),
              cacheWritePerMillion: usd.optional(),
            })
            .optional()
            .describe('USD; without it no run with a money limit may use the model'),
        }),
      )
      .min(1),
  }),
})
