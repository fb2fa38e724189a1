import { wildcardMatches } from './glob.ts'
import type { ChapterFile, PolicyFile } from './kinds.ts'

type Ceilings = Pick<PolicyFile['spec'] & ChapterFile['spec'], 'autonomyMax' | 'ceilings'>

/**
 * The highest autonomy that an organisation or chapter allows for a type of action on a target: the least of all entries that fit.
 * @param target null: wherever it may be, so only entries for every target count
 */
export function ceilingOf({ autonomyMax, ceilings }: Ceilings, type: string, target: string | null): number {
  const fitting = ceilings.filter(
    (entry) =>
      wildcardMatches(type, entry.type) &&
      entry.targets.some((glob) =>
        target === null ? glob === '*' : wildcardMatches(target.toLowerCase(), glob.toLowerCase()),
      ),
  )
  return Math.min(3, autonomyMax[type] ?? 3, autonomyMax['*'] ?? 3, ...fitting.map(({ max }) => max))
}
