import { z } from 'zod'
import type { JsonObject, JsonValue } from '../../../kernel/json.ts'
import {
  absent,
  bounded,
  branchOf,
  type Fact,
  type Family,
  family,
  flag,
  inRepository,
  repository,
  standing,
  text,
  user,
} from './family.ts'

const paths = z.array(z.string()).nullish()
const pushBody = z.object({
  ref: z.string(),
  before: z.string(),
  after: z.string(),
  created: flag,
  deleted: flag,
  forced: flag,
  compare: text,
  head_commit: z.object({ timestamp: text, message: text }).nullish(),
  commits: z.array(
    z.object({
      id: z.string(),
      message: text,
      author: z.object({ name: text, username: text }).nullish(),
      added: paths,
      modified: paths,
      removed: paths,
    }),
  ),
  pusher: z.object({ name: text }).nullish(),
  sender: user,
  repository,
  action: absent,
})
type PushBody = z.infer<typeof pushBody>

const commitsMax = 100
const pathsMax = 3_000

/**
 * Rows 26 and 27 of the table in facts/edges 1.5. Whether a branch is protected is not in the body, so only a forced push on the default
 * branch raises the second fact. A pushed tag comes as `create` as well, and is left to it.
 */
export const push: Family = family('push', pushBody, (body): readonly Fact[] => {
  const branch = branchOf(body.ref)
  if (branch === null) return []
  const repo = body.repository.full_name
  const onDefault = branch === body.repository.default_branch
  const pushed: Fact = {
    type: 'CODE_PUSHED',
    priority: 'LOW',
    subject: { kind: 'branch', id: `${repo}@${branch}`, url: body.compare ?? body.repository.html_url },
    correlationId: `${repo}@${body.after}`,
    dedupKey: `gh:push:${body.repository.id}:${body.ref}:${body.before}:${body.after}`,
    // A commit may be years old when it is pushed; pushed_at is the instant of the push.
    occurredAt: body.repository.pushed_at ?? body.head_commit?.timestamp,
    integrity: 'member', // only people with write access can push
    ...(body.pusher?.name && { actor: { id: body.pusher.name } }),
    payload: {
      ref: body.ref,
      branch,
      default_branch: body.repository.default_branch ?? null,
      on_default_branch: onDefault,
      before: body.before,
      after: body.after,
      head_sha: body.after,
      forced: body.forced ?? false,
      created: body.created ?? false,
      deleted: body.deleted ?? false,
      commit_count: body.commits.length,
      commits: commitsOf(body),
    },
  }
  if (!body.forced || !onDefault) return [pushed]
  return [pushed, { ...pushed, type: 'BRANCH_FORCE_PUSHED', priority: 'HIGH', dedupKey: `${pushed.dedupKey}:forced` }]
})

/** At most 100 commits and 3 000 paths in all; the raw body has the rest. */
function commitsOf({ commits }: PushBody): JsonValue {
  let left = pathsMax
  const some = (list: readonly string[] | null | undefined): JsonValue => {
    const kept = (list ?? []).slice(0, left)
    left -= kept.length
    return kept
  }
  return commits.slice(0, commitsMax).map((commit) => ({
    id: commit.id,
    message: bounded(commit.message, 4_000),
    author: commit.author?.username ?? commit.author?.name ?? null,
    added: some(commit.added),
    modified: some(commit.modified),
    removed: some(commit.removed),
  }))
}

const refBody = z.object({
  ref: z.string(),
  ref_type: z.string(),
  pusher_type: text,
  sender: user,
  repository,
  action: absent,
})

/** Row 28. */
export const create: Family = family('create', refBody.extend({ master_branch: z.string() }), (body, deliveryId) =>
  refFact('create', { tag: 'TAG_CREATED', branch: 'BRANCH_CREATED' }, body, deliveryId),
)
export const remove: Family = family('delete', refBody.extend({ master_branch: absent }), (body, deliveryId) =>
  refFact('delete', { tag: 'TAG_DELETED', branch: 'BRANCH_DELETED' }, body, deliveryId),
)

function refFact(
  event: string,
  types: Readonly<Record<'tag' | 'branch', string>>,
  body: z.infer<typeof refBody>,
  deliveryId: string,
): readonly Fact[] {
  const { ref, ref_type: kind, repository: repo } = body
  if (kind !== 'tag' && kind !== 'branch') return []
  const name: JsonObject = kind === 'tag' ? { tag: ref } : { branch: ref }
  return [
    {
      type: types[kind],
      priority: 'LOW',
      subject: { kind, id: `${repo.full_name}@${ref}`, url: repo.html_url },
      dedupKey: `gh:${event}:${repo.id}:${kind}:${ref}:${deliveryId}`,
      occurredAt: repo.pushed_at,
      integrity: 'member',
      payload: { ref, ref_type: kind, default_branch: repo.default_branch ?? null, ...name },
    },
  ]
}

const releaseBody = inRepository.extend({
  release: z.object({
    id: z.number(),
    html_url: z.string(),
    tag_name: z.string(),
    name: text,
    body: text,
    prerelease: flag,
    draft: flag,
    author: user,
    target_commitish: text,
    published_at: text,
  }),
})

/** Row 29: `created` and `released` are twins of `published`. */
export const release: Family = family('release', releaseBody, (body): readonly Fact[] => {
  const { release, repository: repo } = body
  if (body.action !== 'published') return []
  return [
    {
      type: 'RELEASE_PUBLISHED',
      priority: 'NORMAL',
      subject: { kind: 'release', id: `${repo.full_name}@${release.tag_name}`, url: release.html_url },
      dedupKey: `gh:release:${release.id}:published`,
      occurredAt: release.published_at,
      integrity: 'member',
      payload: {
        tag: release.tag_name,
        title: bounded(release.name),
        body: bounded(release.body),
        author: release.author?.login ?? null,
        prerelease: release.prerelease ?? false,
        branch: release.target_commitish ?? null,
        default_branch: repo.default_branch ?? null,
      },
    },
  ]
})

const mergeGroupBody = inRepository.extend({
  merge_group: z.object({
    head_sha: z.string(),
    head_ref: z.string(),
    base_sha: text,
    base_ref: z.string(),
    head_commit: z.object({ message: text, timestamp: text }).nullish(),
  }),
  reason: text,
})

/** Row 34. */
export const mergeGroup: Family = family('merge_group', mergeGroupBody, (body): readonly Fact[] => {
  const { merge_group: group, action, repository: repo } = body
  if (action !== 'checks_requested' && action !== 'destroyed') return []
  const base = branchOf(group.base_ref) ?? group.base_ref
  const id = `${repo.full_name}@${group.head_sha}`
  return [
    {
      type: action === 'destroyed' ? 'MERGE_DEQUEUED' : 'MERGE_QUEUED',
      priority: 'LOW',
      subject: { kind: 'merge_group', id, url: `${repo.html_url}/queue/${base}` },
      correlationId: id,
      dedupKey: `gh:mg:${group.head_sha}:${action}`,
      occurredAt: null,
      integrity: standing(null), // the commit message is the pull request's title, whoever wrote it
      payload: {
        base,
        head_ref: branchOf(group.head_ref) ?? group.head_ref,
        head_sha: group.head_sha,
        title: bounded(group.head_commit?.message, 4_000),
        reason: body.reason ?? undefined,
      },
    },
  ]
})
