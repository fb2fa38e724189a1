import { globMatches } from './glob.ts'
import type { CodexSnapshot } from './snapshot.ts'

/**
 * The chapter an event belongs to: its connector's, else the first (by name) that claims the repository. Configuration decides, never
 * the request. `repository` is `owner/name`.
 */
export function chapterOf(
  { connectors, chapters }: Pick<CodexSnapshot, 'connectors' | 'chapters'>,
  { connector, repository }: { readonly connector: string; readonly repository: string | null },
): string | null {
  const fixed = connectors.get(connector)?.spec.chapter
  if (fixed !== undefined) return fixed
  if (repository === null) return null
  const claims = [...chapters.values()].filter(({ spec }) =>
    spec.repositories.some((glob) => globMatches(repository, glob)),
  )
  return claims.map(({ metadata }) => metadata.name).toSorted()[0] ?? null
}
