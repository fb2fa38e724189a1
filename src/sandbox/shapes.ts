import type {
  Account,
  ChangedFile,
  CheckRun,
  Comment,
  Commit,
  GithubState,
  Repository,
  Review,
  Thread,
} from './github-state.ts'

/** GitHub's JSON of the state's objects, with the fields that clients read; links lead back to the sandbox. */
export class Shapes {
  readonly #state: GithubState
  /** the sandbox's own address, known once it listens */
  web = 'http://127.0.0.1'

  constructor(state: GithubState) {
    this.#state = state
  }

  account({ login, id, type }: Account): object {
    return {
      login,
      id,
      node_id: nodeId('User', id),
      avatar_url: '',
      url: `${this.web}/users/${encodeURIComponent(login)}`,
      html_url: `${this.web}/${encodeURIComponent(login)}`,
      type,
      site_admin: false,
    }
  }

  repository(repository: Repository): object {
    const [owner = '', name = ''] = repository.fullName.split('/')
    return {
      id: repository.id,
      node_id: nodeId('Repository', repository.id),
      name,
      full_name: repository.fullName,
      private: repository.private,
      owner: this.account(this.#state.account(owner, { type: 'Organization' })),
      html_url: this.#web(repository),
      url: this.#api(repository),
      description: repository.description,
      fork: false,
      default_branch: repository.defaultBranch,
      visibility: repository.private ? 'private' : 'public',
      archived: false,
      disabled: false,
      has_issues: true,
      open_issues_count: [...repository.threads.values()].filter((thread) => thread.state === 'open').length,
      created_at: repository.createdAt,
      updated_at: repository.pushedAt,
      pushed_at: repository.pushedAt,
      permissions: { admin: false, maintain: false, push: true, triage: true, pull: true },
    }
  }

  issue(repository: Repository, thread: Thread): object {
    const pull = thread.pull && {
      url: `${this.#api(repository)}/pulls/${thread.number}`,
      html_url: this.threadUrl(repository, thread),
      merged_at: thread.pull.merged ? thread.closedAt : null,
    }
    return {
      ...this.#common(repository, thread),
      url: `${this.#api(repository)}/issues/${thread.number}`,
      repository_url: this.#api(repository),
      comments_url: `${this.#api(repository)}/issues/${thread.number}/comments`,
      comments: thread.comments.length,
      milestone: null,
      state_reason: thread.state === 'closed' ? 'completed' : null,
      ...(pull && { pull_request: pull }),
    }
  }

  pull(repository: Repository, thread: Thread): object {
    const { pull } = thread
    if (!pull) throw new TypeError(`${repository.fullName}#${thread.number} is no pull request`)
    const side = ({ ref, sha }: { ref: string; sha: string }): object => ({
      label: `${repository.fullName.split('/')[0]}:${ref}`,
      ref,
      sha,
      user: this.account(this.#state.account(repository.fullName.split('/')[0] ?? '')),
      repo: this.repository(repository),
    })
    return {
      ...this.#common(repository, thread),
      id: pull.id,
      node_id: nodeId('PullRequest', pull.id),
      url: `${this.#api(repository)}/pulls/${thread.number}`,
      issue_url: `${this.#api(repository)}/issues/${thread.number}`,
      draft: pull.draft,
      merged: pull.merged,
      merged_at: pull.merged ? thread.closedAt : null,
      merged_by: pull.mergedBy && this.account(pull.mergedBy),
      merge_commit_sha: pull.mergeSha,
      mergeable: pull.merged ? null : true,
      mergeable_state: pull.draft ? 'draft' : 'clean',
      requested_reviewers: [],
      requested_teams: [],
      head: side(pull.head),
      base: side(pull.base),
      comments: thread.comments.length,
      review_comments: 0,
      commits: pull.commits.length,
      additions: pull.size.additions,
      deletions: pull.size.deletions,
      changed_files: pull.size.changedFiles,
    }
  }

  comment(repository: Repository, thread: Thread, comment: Comment): object {
    return {
      id: comment.id,
      node_id: nodeId('IssueComment', comment.id),
      url: `${this.#api(repository)}/issues/comments/${comment.id}`,
      html_url: `${this.threadUrl(repository, thread)}#issuecomment-${comment.id}`,
      issue_url: `${this.#api(repository)}/issues/${thread.number}`,
      user: this.account(comment.author),
      author_association: comment.association,
      body: comment.body,
      created_at: comment.createdAt,
      updated_at: comment.updatedAt,
    }
  }

  review(repository: Repository, thread: Thread, review: Review): object {
    return {
      id: review.id,
      node_id: nodeId('PullRequestReview', review.id),
      user: this.account(review.author),
      author_association: review.association,
      body: review.body,
      state: review.state,
      commit_id: review.commitId,
      submitted_at: review.submittedAt,
      html_url: `${this.threadUrl(repository, thread)}#pullrequestreview-${review.id}`,
      pull_request_url: `${this.#api(repository)}/pulls/${thread.number}`,
    }
  }

  label(repository: Repository, name: string): object {
    const { id, color } = this.#state.label(repository, name)
    const url = `${this.#api(repository)}/labels/${encodeURIComponent(name)}`
    return { id, node_id: nodeId('Label', id), url, name, color, default: false, description: null }
  }

  checkRun(repository: Repository, run: CheckRun): object {
    return {
      id: run.id,
      node_id: nodeId('CheckRun', run.id),
      name: run.name,
      head_sha: run.headSha,
      external_id: run.externalId,
      url: `${this.#api(repository)}/check-runs/${run.id}`,
      html_url: `${this.#web(repository)}/commit/${run.headSha}#check-${run.id}`,
      details_url: run.detailsUrl,
      status: run.status,
      conclusion: run.conclusion,
      started_at: run.startedAt,
      completed_at: run.completedAt,
      output: { ...run.output, annotations_count: 0 },
      check_suite: { id: run.id, head_branch: this.#branchOf(repository, run.headSha), head_sha: run.headSha },
      app: { id: run.app.id, slug: run.app.login.replace(/\[bot\]$/, ''), name: run.app.login.replace(/\[bot\]$/, '') },
      pull_requests: [],
    }
  }

  commit(repository: Repository, commit: Commit): object {
    const { name, email, login } = commit.author
    const who = { name, email, date: commit.date }
    const account = login === null ? null : this.account(this.#state.account(login))
    return {
      sha: commit.sha,
      node_id: nodeId('Commit', commit.sha),
      url: `${this.#api(repository)}/commits/${commit.sha}`,
      html_url: `${this.#web(repository)}/commit/${commit.sha}`,
      commit: { message: commit.message, author: who, committer: who, comment_count: 0 },
      author: account,
      committer: account,
      parents: commit.parents.map((sha) => ({ sha, url: `${this.#api(repository)}/commits/${sha}` })),
    }
  }

  file(file: ChangedFile): object {
    const { filename, status, additions, deletions, patch } = file
    return {
      sha: null,
      filename,
      status,
      additions,
      deletions,
      changes: additions + deletions,
      ...(patch && { patch }),
    }
  }

  threadUrl(repository: Repository, thread: Thread): string {
    return `${this.#web(repository)}/${thread.pull ? 'pull' : 'issues'}/${thread.number}`
  }

  #common(repository: Repository, thread: Thread): object {
    return {
      id: thread.id,
      node_id: nodeId('Issue', thread.id),
      html_url: this.threadUrl(repository, thread),
      number: thread.number,
      state: thread.state,
      locked: thread.locked,
      title: thread.title,
      body: thread.body,
      user: this.account(thread.author),
      author_association: thread.association,
      labels: thread.labels.map((name) => this.label(repository, name)),
      assignee: thread.assignees[0] ? this.account(thread.assignees[0]) : null,
      assignees: thread.assignees.map((account) => this.account(account)),
      created_at: thread.createdAt,
      updated_at: thread.updatedAt,
      closed_at: thread.closedAt,
    }
  }

  #branchOf(repository: Repository, sha: string): string {
    const pulls = [...repository.threads.values()].flatMap((thread) => thread.pull ?? [])
    return pulls.find((pull) => pull.head.sha === sha)?.head.ref ?? repository.defaultBranch
  }

  #api(repository: Repository): string {
    return `${this.web}/repos/${repository.fullName}`
  }
  #web(repository: Repository): string {
    return `${this.web}/${repository.fullName}`
  }
}

function nodeId(kind: string, id: number | string): string {
  return Buffer.from(`${kind}:${id}`).toString('base64')
}
