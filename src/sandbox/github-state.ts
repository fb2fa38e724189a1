/** Everything the sandbox knows: plain objects in memory, gone when it stops. Rendering is in `shapes.ts`. */
export interface Account {
  readonly login: string
  readonly id: number
  readonly type: 'User' | 'Bot' | 'Organization'
}

export interface ChangedFile {
  readonly filename: string
  readonly status: 'added' | 'modified' | 'removed' | 'renamed'
  readonly additions: number
  readonly deletions: number
  readonly patch: string | undefined
  /** the whole file at the head, so that it can be read there */
  readonly contents: string | undefined
}

export interface Commit {
  readonly sha: string
  readonly message: string
  readonly author: { readonly name: string; readonly email: string; readonly login: string | null }
  readonly date: string
  readonly parents: readonly string[]
  readonly files: readonly ChangedFile[]
}

export interface Comment {
  readonly id: number
  readonly author: Account
  readonly association: string
  body: string
  readonly createdAt: string
  updatedAt: string
}

export interface Review {
  readonly id: number
  readonly author: Account
  readonly association: string
  readonly body: string
  readonly state: 'APPROVED' | 'CHANGES_REQUESTED' | 'COMMENTED' | 'PENDING' | 'DISMISSED'
  readonly commitId: string
  readonly submittedAt: string
}

export interface Pull {
  readonly id: number
  draft: boolean
  merged: boolean
  mergedBy: Account | null
  mergeSha: string | null
  base: { ref: string; sha: string }
  head: { ref: string; sha: string }
  files: readonly ChangedFile[]
  commits: readonly string[]
  /** what a webhook said; the files may be unknown */
  size: { additions: number; deletions: number; changedFiles: number }
  readonly reviews: Review[]
}

/** An issue, or the issue side of a pull request: GitHub numbers both together. */
export interface Thread {
  readonly id: number
  readonly number: number
  title: string
  body: string
  state: 'open' | 'closed'
  readonly author: Account
  readonly association: string
  labels: string[]
  assignees: readonly Account[]
  locked: boolean
  readonly comments: Comment[]
  readonly createdAt: string
  updatedAt: string
  closedAt: string | null
  pull: Pull | null
}

export interface CheckRun {
  readonly id: number
  readonly name: string
  readonly headSha: string
  externalId: string
  status: string
  conclusion: string | null
  detailsUrl: string | null
  output: { readonly title: string | null; readonly summary: string | null; readonly text: string | null }
  readonly app: Account
  readonly startedAt: string
  completedAt: string | null
}

export interface Repository {
  readonly id: number
  readonly fullName: string
  readonly private: boolean
  defaultBranch: string
  description: string | null
  readonly createdAt: string
  pushedAt: string
  readonly threads: Map<number, Thread>
  /** oldest first, by sha */
  readonly commits: Map<string, Commit>
  readonly files: Map<string, string>
  readonly labels: Map<string, { readonly id: number; readonly color: string }>
  readonly checkRuns: CheckRun[]
}

export class GithubState {
  /** by lower-case full name: GitHub ignores the case */
  readonly #repositories = new Map<string, Repository>()
  readonly #accounts = new Map<string, Account>()
  /** token → login */
  readonly #tokens = new Map<string, string>()
  #lastId = 1_000_000

  /** GitHub's ids grow over all objects. */
  id(): number {
    this.#lastId += 1
    return this.#lastId
  }

  grant(token: string, login: string): void {
    this.#tokens.set(token, login)
  }

  whoIs(token: string): Account | null {
    const login = this.#tokens.get(token)
    return login === undefined ? null : this.account(login)
  }

  account(login: string, known: Partial<Account> = {}): Account {
    const key = login.toLowerCase()
    const found = this.#accounts.get(key)
    if (found) return found
    const type = known.type ?? (login.endsWith('[bot]') ? 'Bot' : 'User')
    const account: Account = { login, id: known.id ?? this.id(), type }
    this.#accounts.set(key, account)
    return account
  }

  repositories(): readonly Repository[] {
    return [...this.#repositories.values()]
  }

  repository(fullName: string): Repository | null {
    return this.#repositories.get(fullName.toLowerCase()) ?? null
  }

  addRepository(repository: Repository): Repository {
    this.#repositories.set(repository.fullName.toLowerCase(), repository)
    return repository
  }

  nextNumber(repository: Repository): number {
    return Math.max(0, ...repository.threads.keys()) + 1
  }

  /** Labels spring into being when first used, as on GitHub. */
  label(repository: Repository, name: string): { readonly id: number; readonly color: string } {
    const found = repository.labels.get(name.toLowerCase())
    if (found) return found
    const label = { id: this.id(), color: 'ededed' }
    repository.labels.set(name.toLowerCase(), label)
    return label
  }

  comment(repository: Repository, id: number): { thread: Thread; comment: Comment } | null {
    for (const thread of repository.threads.values()) {
      const comment = thread.comments.find((one) => one.id === id)
      if (comment) return { thread, comment }
    }
    return null
  }
}

/** GitHub's instants have whole seconds. */
export function instant(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
