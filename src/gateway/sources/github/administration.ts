import { z } from 'zod'
import type { Priority } from '../../../kernel/event.ts'
import { absent, type Fact, type Family, family, head, inRepository, lookup, text, user } from './family.ts'

const account = z.object({ login: z.string(), id: z.number(), html_url: text })

const protectionBody = inRepository.extend({
  rule: z.object({ id: z.number(), name: z.string(), updated_at: text, repository_id: z.number() }),
})

/** Row 41 of the table in facts/edges 1.5. */
export const branchProtectionRule: Family = family(
  'branch_protection_rule',
  protectionBody,
  (body): readonly Fact[] => {
    const { rule, action, repository: repo } = body
    if (action !== 'edited' && action !== 'deleted') return []
    // A rule that is deleted keeps the time of its last edit.
    const gone = action === 'deleted' ? ':deleted' : ''
    return [
      {
        type: 'POLICY_WEAKENED',
        priority: 'HIGH',
        subject: { kind: 'repository', id: repo.full_name, url: repo.html_url },
        dedupKey: `gh:bpr:${rule.id}:${rule.updated_at ?? ''}${gone}`,
        occurredAt: action === 'edited' ? rule.updated_at : null,
        integrity: 'member',
        payload: {
          title: `branch protection ${rule.name} ${action}`,
          branch: rule.name,
          default_branch: repo.default_branch ?? null,
        },
      },
    ]
  },
)

/** What other events have beside a repository and an action such as `created`. */
const others = [
  'alert',
  'check_run',
  'check_suite',
  'comment',
  'deployment',
  'discussion',
  'forkee',
  'hook',
  'issue',
  'key',
  'label',
  'member',
  'merge_group',
  'milestone',
  'package',
  'project',
  'project_card',
  'project_column',
  'pull_request',
  'release',
  'review',
  'rule',
  'starred_at',
  'team',
  'workflow_job',
  'workflow_run',
] as const
const nothingElse = Object.fromEntries(others.map((name) => [name, absent]))

const repositoryTypes: Readonly<Record<string, readonly [type: string, priority: Priority]>> = {
  created: ['REPO_CREATED', 'LOW'],
  archived: ['REPO_ARCHIVED', 'LOW'],
  transferred: ['REPO_TRANSFERRED', 'LOW'],
  publicized: ['POLICY_WEAKENED', 'HIGH'],
}

/** Rows 41 and 42. */
export const repositoryEvent: Family = family(
  'repository',
  z.object({ ...nothingElse, ...inRepository.shape }),
  (body, deliveryId): readonly Fact[] => {
    const { action, repository: repo } = body
    const row = lookup(repositoryTypes, action)
    if (!row) return []
    return [
      {
        type: row[0],
        priority: row[1],
        subject: { kind: 'repository', id: repo.full_name, url: repo.html_url },
        dedupKey: `gh:repository:${repo.id}:${action}:${deliveryId}`,
        occurredAt: null,
        integrity: 'member',
        payload: { title: `repository ${action}`, default_branch: repo.default_branch ?? null },
      },
    ]
  },
)

const memberBody = inRepository.extend({ member: account, team: absent, scope: absent })
const membershipBody = head.extend({ scope: z.string(), member: account, team: z.object({ name: text }).nullish() })
const organizationBody = head.extend({
  organization: z.object({ login: z.string() }),
  membership: z.object({ role: text, user: account.nullish() }).nullish(),
  invitation: z.object({}).nullish(),
  user,
  member: absent,
  team: absent,
})

const memberTypes: Readonly<Record<string, string>> = {
  added: 'MEMBER_ADDED',
  member_added: 'MEMBER_ADDED',
  removed: 'MEMBER_REMOVED',
  member_removed: 'MEMBER_REMOVED',
}

/** Row 42, three events for the three places one can be a member of. */
export const member: Family = family('member', memberBody, (body, deliveryId) =>
  memberFact('member', body.action, body.member, body.repository.full_name, deliveryId),
)
export const membership: Family = family('membership', membershipBody, (body, deliveryId) =>
  memberFact('membership', body.action, body.member, body.team?.name ?? null, deliveryId),
)
export const organization: Family = family('organization', organizationBody, (body, deliveryId) =>
  memberFact('organization', body.action, body.membership?.user, body.organization.login, deliveryId),
)

function memberFact(
  event: string,
  action: string | null | undefined,
  who: z.infer<typeof account> | null | undefined,
  where: string | null,
  deliveryId: string,
): readonly Fact[] {
  const type = lookup(memberTypes, action)
  if (!type || !who) return []
  return [
    {
      type,
      priority: 'NORMAL',
      subject: { kind: 'member', id: who.login, url: who.html_url ?? null },
      dedupKey: `gh:${event}:${who.id}:${action}:${deliveryId}`,
      occurredAt: null,
      integrity: 'member',
      payload: { login: who.login, scope: event, title: `${who.login} ${action} ${where ?? ''}`.trim() },
    },
  ]
}
