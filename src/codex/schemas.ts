import { z } from 'zod'
import { kinds } from './kinds.ts'

/**
 * JSON Schemas for editors, by file name, as `docs/schemas/` holds them. A Codex file names its own in the first line:
 * `# yaml-language-server: $schema=…/agent.json`.
 */
export function generateSchemas(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(kinds).map(([kind, schema]) => {
      const described = z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' })
      const text = JSON.stringify({ title: `Guild Codex: ${kind}`, ...described }, null, 2)
      return [`${kind.toLowerCase()}.json`, `${text}\n`]
    }),
  )
}
