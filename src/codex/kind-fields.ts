import { z } from 'zod'
import { dataClasses } from '../kernel/data-class.ts'
import { priorities } from '../kernel/event.ts'

/** The words that all kinds of the Codex are made of. */
export const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,98}$/, 'lower-case letters, digits and dashes')
export const path = z.string().regex(/^(?!\/)(?!.*\.\.)[\w./-]+$/, 'a path inside the Codex')
export const cel = z.string().min(1).max(2_000).describe('CEL over event, payload, metadata (and context in rules)')
export const semverRange = z.string().min(1).max(100)
export const duration = z.string().regex(/^\d+(ms|s|m|h|d)$/, 'a duration such as 500ms, 15s, 5m, 24h, 30d')
export const tokens = z.int().min(1).max(1_000_000_000_000)
export const usd = z.number().min(0).max(10_000_000)
export const priority = z.enum(priorities)
export const dataClass = z.enum(dataClasses)
export const toolClass = z.enum(['read', 'write'])
export const apiVersion = z.literal('guild/v1')

export const head = z.strictObject({ name, labels: z.record(z.string(), z.string()).optional() })
