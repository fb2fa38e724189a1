import { wildcardMatches } from '../codex/glob.ts'

/**
 * Does an action's target match a grant's glob? `*` stands for any characters, `?` for one; case does not matter, because GitHub's
 * names have none. The whole target must match: `shop#*` does not cover `evil/shop#1`.
 */
export function targetMatches(target: string, glob: string): boolean {
  return wildcardMatches(target.toLowerCase(), glob.toLowerCase())
}
