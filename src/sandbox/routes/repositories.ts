import type { FastifyInstance } from 'fastify'
import { type Api, callerOf, notFound, page, param, query, repositoryOf } from '../api.ts'
import type { ChangedFile, Commit, Pull, Repository } from '../github-state.ts'
import { fakeSha } from '../seed.ts'

/** Who am I, repositories, commits, comparisons, contents. https://docs.github.com/en/rest */
export function repositoryRoutes(app: FastifyInstance, api: Api): void {
  const { shapes } = api

  app.get('/user', async (request) => shapes.account(callerOf(api, request)))
  app.get('/meta', async () => ({ verifiable_password_authentication: false, hooks: ['127.0.0.0/8', '::1/128'] }))
  app.get('/repos/:owner/:repo', async (request) => shapes.repository(repositoryOf(api, request)))

  app.get('/repos/:owner/:repo/commits', async (request, reply) => {
    const repository = repositoryOf(api, request)
    const { sha, path, author, since: from, until } = query(request)
    const found = history(repository, sha ?? repository.defaultBranch)
      .filter((commit) => !path || commit.files.some((file) => file.filename.startsWith(path)))
      .filter((commit) => !author || [commit.author.login, commit.author.email].includes(author))
      .filter((commit) => !from || Date.parse(commit.date) >= Date.parse(from))
      .filter((commit) => !until || Date.parse(commit.date) <= Date.parse(until))
    return page(api, request, reply, found).map((commit) => shapes.commit(repository, commit))
  })

  app.get('/repos/:owner/:repo/commits/:ref', async (request) => {
    const repository = repositoryOf(api, request)
    const commit = resolve(repository, param(request, 'ref'))
    if (!commit) throw notFound()
    const stats = countOf(commit.files)
    return { ...shapes.commit(repository, commit), stats, files: commit.files.map((file) => shapes.file(file)) }
  })

  app.get('/repos/:owner/:repo/compare/:range', async (request) => {
    const repository = repositoryOf(api, request)
    const [base = '', head = ''] = param(request, 'range').split(/\.\.\.?/)
    const found = comparison(repository, withoutOwner(base), withoutOwner(head))
    if (!found) throw notFound()
    return {
      status: found.commits.length > 0 ? 'ahead' : 'identical',
      ahead_by: found.commits.length,
      behind_by: 0,
      total_commits: found.commits.length,
      merge_base_commit: null,
      html_url: `${shapes.web}/${repository.fullName}/compare/${base}...${head}`,
      commits: found.commits.map((commit) => shapes.commit(repository, commit)),
      files: found.files.map((file) => shapes.file(file)),
    }
  })

  const contents = async (repository: Repository, path: string, ref: string | undefined): Promise<object> => {
    const overlay = ref === undefined ? undefined : pullAt(repository, ref)
    const text =
      overlay?.files.find((file) => file.filename === path)?.contents ??
      (overlay?.files.some((file) => file.filename === path && file.status === 'removed')
        ? undefined
        : repository.files.get(path))
    if (text !== undefined) return { ...entry(path, 'file', text), encoding: 'base64', content: base64(text) }
    const inside = entriesOf(repository, path)
    if (inside.length === 0) throw notFound()
    return inside
  }
  app.get('/repos/:owner/:repo/contents', async (request) =>
    contents(repositoryOf(api, request), '', query(request)['ref']),
  )
  app.get('/repos/:owner/:repo/contents/*', async (request) =>
    contents(repositoryOf(api, request), param(request, '*').replace(/\/+$/, ''), query(request)['ref']),
  )
}

/** Newest first. Branches are not kept apart: another one than a pull request's head shows what the default branch has. */
function history(repository: Repository, ref: string): readonly Commit[] {
  const all = [...repository.commits.values()].toReversed()
  const pull = pullAt(repository, ref)
  if (pull) return all.filter((commit) => pull.commits.includes(commit.sha))
  const at = all.findIndex((commit) => commit.sha === ref)
  if (at !== -1) return all.slice(at)
  const onPulls = new Set(pullsOf(repository).flatMap((one) => (one.merged ? [] : one.commits)))
  return all.filter((commit) => !onPulls.has(commit.sha))
}

function resolve(repository: Repository, ref: string): Commit | null {
  const bySha = repository.commits.get(ref)
  if (bySha) return bySha
  if (ref !== repository.defaultBranch && !pullAt(repository, ref)) return null
  return history(repository, ref)[0] ?? null
}

/** A pull request's own base and head, or two commits of one line. */
function comparison(
  repository: Repository,
  base: string,
  head: string,
): { commits: readonly Commit[]; files: readonly ChangedFile[] } | null {
  const pull = pullAt(repository, head)
  if (pull && [pull.base.ref, pull.base.sha].includes(base))
    return { commits: pull.commits.flatMap((sha) => repository.commits.get(sha) ?? []), files: pull.files }
  const all = [...repository.commits.values()]
  const at = (ref: string): number => all.findIndex((commit) => commit.sha === (resolve(repository, ref)?.sha ?? ref))
  const [from, to] = [at(base), at(head)]
  if (from === -1 || to === -1) return null
  const commits = all.slice(from + 1, to + 1)
  const files = new Map(commits.flatMap((commit) => commit.files.map((file) => [file.filename, file] as const)))
  return { commits, files: [...files.values()] }
}

function entriesOf(repository: Repository, folder: string): readonly object[] {
  const prefix = folder === '' ? '' : `${folder}/`
  const seen = new Map<string, object>()
  for (const [path, text] of repository.files) {
    if (!path.startsWith(prefix)) continue
    const [name = '', ...deeper] = path.slice(prefix.length).split('/')
    const at = `${prefix}${name}`
    if (!seen.has(at)) seen.set(at, deeper.length > 0 ? entry(at, 'dir', '') : entry(at, 'file', text))
  }
  return [...seen.values()]
}

function entry(path: string, type: 'file' | 'dir', text: string): object {
  const name = path.split('/').at(-1) ?? path
  return { type, name, path, size: Buffer.byteLength(text), sha: fakeSha(path, text), html_url: null }
}

/** GitHub wraps it at 60 characters. */
function base64(text: string): string {
  return Buffer.from(text).toString('base64').replaceAll(/.{60}/g, '$&\n')
}

function pullsOf(repository: Repository): readonly Pull[] {
  return [...repository.threads.values()].flatMap((thread) => thread.pull ?? [])
}

function pullAt(repository: Repository, ref: string): Pull | undefined {
  const name = ref.replace(/^refs\/heads\//, '')
  return pullsOf(repository).find((pull) => pull.head.ref === name || pull.head.sha === name)
}

function withoutOwner(ref: string): string {
  return ref.slice(ref.indexOf(':') + 1)
}

function countOf(files: readonly ChangedFile[]): object {
  const additions = files.reduce((sum, file) => sum + file.additions, 0)
  const deletions = files.reduce((sum, file) => sum + file.deletions, 0)
  return { additions, deletions, total: additions + deletions }
}
