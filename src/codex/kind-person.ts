import { z } from 'zod'
import { apiVersion, head } from './kind-fields.ts'

/** Whose day it is, and what they are called elsewhere. */
export const person = z.strictObject({
  apiVersion,
  kind: z.literal('Person'),
  metadata: head,
  spec: z.strictObject({
    display: z.string().max(200).optional(),
    timezone: z.string().min(1).max(50).describe('IANA zone, e.g. Europe/Berlin'),
    logins: z
      .record(z.string(), z.string().min(1).max(100))
      .default({})
      .describe(
        'names elsewhere, by system: {github: ada-byron}; members of a chapter are named by these or by the file’s name',
      ),
  }),
})
