import type { z } from 'zod'
import type * as shapes from './shapes.ts'

type ChangedFile = z.infer<typeof shapes.changedFile>
type Commit = z.infer<typeof shapes.commit>
type PullRequestItem = z.infer<typeof shapes.pullRequestItem>

const patchCharsMax = 4_000
/** All long texts of one result together; keeps it below `resultBytesMax` however they are escaped. */
const charsMax = 100_000

/** Spends one allowance on the texts of a result, first come first served; what no longer fits is cut and says so. */
export class Allowance {
  #left = charsMax

  take(text: string, charsEach: number): string {
    const room = Math.max(0, Math.min(this.#left, charsEach))
    this.#left -= Math.min(text.length, room)
    if (text.length <= room) return text
    // A surrogate pair is not split: lone halves have no UTF-8.
    const end = /[\uD800-\uDBFF]/.test(text.charAt(room - 1)) ? room - 1 : room
    return `${text.slice(0, end)}… [cut, ${text.length} characters]`
  }
}

export function compactFile(file: ChangedFile, allowance: Allowance): object {
  const { filename, previous_filename, status, additions, deletions, patch } = file
  return {
    filename,
    ...(previous_filename && { previous_filename }),
    status,
    additions,
    deletions,
    ...(patch !== undefined && { patch: allowance.take(patch, patchCharsMax) }),
  }
}

export function compactCommit({ sha, commit, author, html_url }: Commit, allowance: Allowance): object {
  return {
    sha,
    message: allowance.take(commit.message, 1_000),
    author: author?.login ?? commit.author?.name ?? 'ghost',
    date: commit.author?.date ?? null,
    html_url,
  }
}

export function compactPullRequest(pull: PullRequestItem): object {
  const { user, base, head, ...rest } = pull
  return {
    ...rest,
    author: user,
    base: { ref: base.ref, sha: base.sha },
    head: { ref: head.ref, sha: head.sha, repo: head.repo?.full_name ?? null },
    from_fork: isFork(pull),
  }
}

/** Also when the fork has been deleted since (its repo is null then). */
function isFork({ base, head }: Pick<PullRequestItem, 'base' | 'head'>): boolean {
  return head.repo === null || head.repo?.full_name !== base.repo?.full_name
}
