import type { z } from 'zod'
import type * as shapes from './shapes.ts'

type ChangedFile = z.infer<typeof shapes.changedFile>
type Commit = z.infer<typeof shapes.commit>
type PullRequestItem = z.infer<typeof shapes.pullRequestItem>

const patchCharsMax = 4_000
/** JSON bytes of all long texts of one result together: with the short fields around them it stays below `resultBytesMax`. */
const textBytesMax = 160_000

/** Spends one allowance on the texts of a result, first come first served; what no longer fits is cut and says so. */
export class Allowance {
  #left = textBytesMax

  take(text: string, charsMax: number): string {
    let kept = text.slice(0, charsMax)
    // Escapes and wide characters weigh up to six bytes: the share that fits is found by weighing again.
    for (let bytes = weigh(kept); bytes > this.#left; bytes = weigh(kept)) {
      kept = kept.slice(0, Math.floor((kept.length * Math.max(0, this.#left)) / bytes))
    }
    this.#left -= weigh(kept)
    // A cut may fall between the halves of a character.
    return kept.length === text.length ? text : `${kept.toWellFormed()}… [cut, ${text.length} characters]`
  }
}

/** Without the quotes: an empty text weighs nothing. */
function weigh(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2
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
