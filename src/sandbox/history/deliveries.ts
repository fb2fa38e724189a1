import { createHash } from 'node:crypto'
import type { JsonObject } from '../../kernel/json.ts'
import type { History, HistoryCommit } from './read-history.ts'

/** A webhook as GitHub would have sent it: the event name and the body. */
export interface HistoryDelivery {
  readonly event: string
  readonly at: Date
  readonly body: JsonObject
  /** one line for people */
  readonly story: string
  /** pull request this delivery is about, whose files the sandbox can serve */
  readonly pull: HistoryPull | null
}

export interface HistoryPull {
  readonly number: number
  readonly commit: HistoryCommit
  /** false: Git tells nothing of a pull request; the number is ours */
  readonly recorded: boolean
}

const zeros = '0'.repeat(40)

/**
 * What GitHub would have told about this history, oldest first. A merge of a pull request (merge commit or squash with its number)
 * becomes `pull_request` opened and closed; every change of the branch a `push`; a tag a `create`; a reflog entry that threw commits
 * away a forced `push`. Nothing is invented beyond ids: what Git does not know (reviews, labels, CI) is not sent.
 */
export function historyDeliveries(history: History): readonly HistoryDelivery[] {
  const shape = new Shapes(history)
  const changes = history.commits.flatMap((commit) => {
    const pull = pullOf(commit)
    const pushed = shape.push(commit.parents[0] ?? zeros, commit.sha, [commit], false, commit)
    if (!pull) return [pushed]
    return [shape.pullRequest('opened', pull), shape.pullRequest('closed', pull), pushed]
  })
  const tags = history.tags.map((tag) => shape.tag(tag))
  const forced = history.forced.map((update) => shape.forcedPush(update))
  return [...changes, ...tags, ...forced].sort((a, b) => a.at.getTime() - b.at.getTime())
}

/** The newest changes, newest first, each as a pull request opened now: what `guild try` offers until one needs a decision. */
export function newestAsPulls(history: History, now: Date): readonly HistoryDelivery[] {
  const shape = new Shapes(history)
  const first = highestNumber(history) + 1
  const changes = [...history.commits].reverse().filter((commit) => commit.files.length > 0)
  return changes.map((commit, at) =>
    shape.pullRequest('opened', { number: first + at, commit: { ...commit, at: now }, recorded: false }),
  )
}

export function pullOf(commit: HistoryCommit): HistoryPull | null {
  const merged = /^Merge pull request #(\d+) from (\S+)/.exec(commit.subject)
  const squashed = /\(#(\d+)\)$/.exec(commit.subject)
  const number = Number(merged?.[1] ?? squashed?.[1])
  if (Number.isSafeInteger(number) && number > 0) return { number, commit, recorded: true }
  if (commit.parents.length < 2) return null
  return { number: inferredNumber(commit.sha), commit, recorded: false }
}

/** GitHub's bodies for one repository. */
class Shapes {
  readonly #history: History
  readonly #html: string
  readonly #repository: JsonObject & { readonly url: string }

  constructor(history: History) {
    const [owner = 'local', name = 'repository'] = history.repository.split('/')
    this.#history = history
    this.#html = `https://github.com/${history.repository}`
    this.#repository = {
      id: numeric(history.repository),
      node_id: `R_${numeric(history.repository)}`,
      name,
      full_name: history.repository,
      private: true,
      html_url: this.#html,
      url: `https://api.github.com/repos/${history.repository}`,
      default_branch: history.branch,
      owner: { login: owner, id: numeric(owner), type: 'Organization' },
    }
  }

  pullRequest(action: 'opened' | 'closed', pull: HistoryPull): HistoryDelivery {
    const { commit, number } = pull
    const closed = action === 'closed'
    // Git does not keep when a pull request was opened; a minute before its merge keeps the order.
    const at = closed ? commit.at : new Date(commit.at.getTime() - 60_000)
    const verb = closed ? 'merged' : 'opened'
    const body = {
      action,
      number,
      repository: this.#repository,
      sender: person(commit),
      pull_request: this.#pull(pull, at, closed),
    }
    return { event: 'pull_request', at, story: `pull request #${number} ${verb}: ${titleOf(commit)}`, pull, body }
  }

  #pull({ commit, number }: HistoryPull, at: Date, closed: boolean): JsonObject {
    const user = person(commit)
    const mergedAt = closed ? commit.at.toISOString() : null
    const repo = this.#repository
    return {
      id: numeric(`${this.#history.repository}#${number}`),
      node_id: `PR_${number}`,
      number,
      state: closed ? 'closed' : 'open',
      title: titleOf(commit),
      body: commit.body,
      html_url: `${this.#html}/pull/${number}`,
      url: `${repo.url}/pulls/${number}`,
      user,
      author_association: 'MEMBER',
      draft: false,
      merged: closed,
      merged_at: mergedAt,
      merged_by: closed ? user : null,
      merge_commit_sha: closed ? commit.sha : null,
      closed_at: mergedAt,
      created_at: at.toISOString(),
      updated_at: at.toISOString(),
      labels: [],
      head: { ref: branchOf(commit), sha: commit.parents[1] ?? commit.sha, repo },
      base: { ref: this.#history.branch, sha: commit.parents[0] ?? zeros, repo },
      additions: sum(commit, 'additions'),
      deletions: sum(commit, 'deletions'),
      changed_files: commit.files.length,
      commits: 1,
    }
  }

  push(
    before: string,
    after: string,
    commits: readonly HistoryCommit[],
    forced: boolean,
    by: HistoryCommit,
  ): HistoryDelivery {
    const user = person(by)
    const { branch } = this.#history
    return {
      event: 'push',
      at: by.at,
      story: `${forced ? 'forced push' : 'push'} to ${branch}: ${by.subject}`,
      pull: null,
      body: {
        ref: `refs/heads/${branch}`,
        before,
        after,
        created: before === zeros,
        deleted: false,
        forced,
        base_ref: null,
        compare: `${this.#html}/compare/${before.slice(0, 12)}...${after.slice(0, 12)}`,
        commits: commits.map((commit) => commitBody(commit, this.#html)),
        head_commit: commitBody(by, this.#html),
        repository: this.#repository,
        pusher: { name: user.login, email: by.email },
        sender: user,
      },
    }
  }

  forcedPush(update: History['forced'][number]): HistoryDelivery {
    const { commits } = this.#history
    const known = commits.find((commit) => commit.sha === update.after)
    const by = { ...(known ?? commits.at(-1) ?? emptyCommit(update.after)), at: update.at }
    return this.push(update.before, update.after, known ? [known] : [], true, by)
  }

  tag(tag: History['tags'][number]): HistoryDelivery {
    const { commits, branch } = this.#history
    const by = commits.find((commit) => commit.sha === tag.sha) ?? commits.at(-1) ?? emptyCommit(tag.sha)
    const body = {
      ref: tag.name,
      ref_type: 'tag',
      master_branch: branch,
      description: null,
      pusher_type: 'user',
      repository: this.#repository,
      sender: person(by),
    }
    return { event: 'create', at: tag.at, story: `tag ${tag.name}`, pull: null, body }
  }
}

function branchOf(commit: HistoryCommit): string {
  const named =
    /^Merge pull request #\d+ from [^/\s]+\/(\S+)/.exec(commit.subject) ??
    /^Merge branch '([^']+)'/.exec(commit.subject)
  return named?.[1] ?? `change-${commit.sha.slice(0, 7)}`
}

function titleOf(commit: HistoryCommit): string {
  if (commit.subject.startsWith('Merge ')) return commit.body.split('\n')[0] || commit.subject
  return commit.subject.replace(/ \(#\d+\)$/, '')
}

function commitBody(commit: HistoryCommit, html: string): JsonObject {
  const user = person(commit)
  return {
    id: commit.sha,
    tree_id: commit.sha,
    distinct: true,
    message: commit.body ? `${commit.subject}\n\n${commit.body}` : commit.subject,
    timestamp: commit.at.toISOString(),
    url: `${html}/commit/${commit.sha}`,
    author: { name: commit.author, email: commit.email, username: user.login },
    committer: { name: commit.author, email: commit.email, username: user.login },
    added: commit.files
      .filter((file) => file.deletions === 0)
      .map((file) => file.path)
      .slice(0, 300),
    modified: commit.files
      .filter((file) => file.deletions > 0)
      .map((file) => file.path)
      .slice(0, 300),
    removed: [],
  }
}

function person(commit: HistoryCommit) {
  const login =
    commit.author
      .normalize('NFKD')
      .replaceAll(/[^\w.-]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .toLowerCase() || 'someone'
  const type = /\[bot\]$|^(dependabot|renovate)/i.test(commit.author) ? 'Bot' : 'User'
  return { login, id: numeric(commit.email), type, html_url: `https://github.com/${login}` }
}

function emptyCommit(sha: string): HistoryCommit {
  return { sha, parents: [], author: 'someone', email: '', at: new Date(0), subject: '', body: '', files: [] }
}

function highestNumber(history: History): number {
  return Math.max(
    0,
    ...history.commits.map((commit) => pullOf(commit)).flatMap((pull) => (pull?.recorded ? [pull.number] : [])),
  )
}

/** Away from real numbers, and the same on every try. */
function inferredNumber(sha: string): number {
  return 900_000 + (Number.parseInt(sha.slice(0, 8), 16) % 99_000)
}

function numeric(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0)
}

function sum(commit: HistoryCommit, key: 'additions' | 'deletions'): number {
  return commit.files.reduce((total, file) => total + file[key], 0)
}
