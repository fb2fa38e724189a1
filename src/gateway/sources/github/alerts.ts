import { z } from 'zod'
import type { Priority } from '../../../kernel/event.ts'
import { absent, bounded, branchOf, type Fact, type Family, family, head, inRepository, text } from './family.ts'

const times = { created_at: text, updated_at: text }

const dependabotBody = inRepository.extend({
  alert: z.object({
    number: z.number(),
    html_url: z.string(),
    state: text,
    dependency: z
      .object({ package: z.object({ name: text, ecosystem: text }).nullish(), manifest_path: text })
      .nullish(),
    security_advisory: z.object({
      ghsa_id: z.string(),
      cve_id: text,
      summary: text,
      description: text,
      severity: text,
    }),
    security_vulnerability: z.object({ severity: text }).nullish(),
    ...times,
  }),
})

const detected = ['created', 'reintroduced', 'reopened', 'auto_reopened']
const resolved = ['fixed', 'dismissed', 'auto_dismissed']

/** Row 37 of the table in facts/edges 1.5. */
export const dependabotAlert: Family = family('dependabot_alert', dependabotBody, (body): readonly Fact[] => {
  const { alert, action, repository: repo } = body
  const type = detected.includes(action) ? 'VULN_DETECTED' : resolved.includes(action) ? 'VULN_RESOLVED' : null
  if (!type) return []
  const severity = alert.security_vulnerability?.severity ?? alert.security_advisory.severity ?? null
  return [
    {
      type,
      priority: type === 'VULN_RESOLVED' ? 'LOW' : priorityOf(severity),
      subject: { kind: 'alert', id: `${repo.full_name}/dependabot/${alert.number}`, url: alert.html_url },
      dedupKey: `gh:dep:${repo.id}:${alert.number}:${action}:${alert.updated_at ?? ''}`,
      occurredAt: alert.updated_at ?? alert.created_at,
      integrity: 'verified', // written by GitHub itself
      payload: {
        alert_number: alert.number,
        title: bounded(alert.security_advisory.summary, 1_000),
        body: bounded(alert.security_advisory.description),
        severity,
        state: alert.state ?? null,
        ghsa: alert.security_advisory.ghsa_id,
        cve: alert.security_advisory.cve_id ?? null,
        package: alert.dependency?.package?.name ?? null,
        ecosystem: alert.dependency?.package?.ecosystem ?? null,
        path: alert.dependency?.manifest_path ?? null,
      },
    },
  ]
})

const codeScanningBody = inRepository.extend({
  alert: z.object({
    number: z.number(),
    html_url: z.string(),
    state: text,
    rule: z.object({ id: text, severity: text, security_severity_level: text, description: text }),
    tool: z.object({ name: text }).nullish(),
    secret_type: absent,
    ...times,
  }),
  ref: text,
  commit_oid: text,
})

const flawDetected = ['appeared_in_branch', 'created', 'reopened', 'reopened_by_user']
const flawResolved = ['fixed', 'closed_by_user']

/** Row 38. */
export const codeScanningAlert: Family = family('code_scanning_alert', codeScanningBody, (body): readonly Fact[] => {
  const { alert, action, repository: repo } = body
  const found = flawDetected.includes(action)
  if (!found && !flawResolved.includes(action)) return []
  const severity = alert.rule.security_severity_level ?? alert.rule.severity ?? null
  // Everything but the first sight can happen again.
  const again = action === 'created' ? '' : `:${alert.updated_at ?? body.commit_oid ?? ''}`
  return [
    {
      type: found ? 'CODE_FLAW_DETECTED' : 'CODE_FLAW_RESOLVED',
      priority: found && ['critical', 'high', 'error'].includes(severity ?? '') ? 'HIGH' : 'NORMAL',
      subject: { kind: 'alert', id: `${repo.full_name}/code-scanning/${alert.number}`, url: alert.html_url },
      dedupKey: `gh:cs:${repo.id}:${alert.number}:${action}${again}`,
      occurredAt: alert.updated_at ?? alert.created_at,
      integrity: 'member', // the text is that of a scanner somebody with write access set up
      payload: {
        alert_number: alert.number,
        title: bounded(alert.rule.description ?? alert.rule.id, 1_000),
        severity,
        state: alert.state ?? null,
        tool: alert.tool?.name ?? null,
        rule: alert.rule.id ?? null,
        ref: body.ref ?? null,
        branch: body.ref ? branchOf(body.ref) : null,
        default_branch: repo.default_branch ?? null,
        head_sha: body.commit_oid ?? null,
      },
    },
  ]
})

const secretScanningBody = inRepository.extend({
  alert: z.object({
    number: z.number(),
    html_url: text,
    state: text,
    secret_type: z.string(),
    secret_type_display_name: text,
    validity: text,
    resolution: text,
    publicly_leaked: z.boolean().nullish(),
    ...times,
  }),
})

const leaked = ['created', 'reopened', 'publicly_leaked']

/** Row 39. The leaked value itself never gets here: `json-body.ts` removes every member called `secret`. */
export const secretScanningAlert: Family = family(
  'secret_scanning_alert',
  secretScanningBody,
  (body): readonly Fact[] => {
    const { alert, action, repository: repo } = body
    const type = leaked.includes(action) ? 'SECRET_LEAKED' : action === 'resolved' ? 'SECRET_RESOLVED' : null
    if (!type) return []
    const again = action === 'created' ? '' : `:${alert.updated_at ?? ''}`
    return [
      {
        type,
        // CRITICAL only by a rule of the Codex: what is worth waking somebody differs.
        priority: type === 'SECRET_LEAKED' ? 'HIGH' : 'LOW',
        subject: {
          kind: 'alert',
          id: `${repo.full_name}/secret-scanning/${alert.number}`,
          url: alert.html_url ?? `${repo.html_url}/security/secret-scanning/${alert.number}`,
        },
        dedupKey: `gh:ss:${repo.id}:${alert.number}:${action}${again}`,
        occurredAt: alert.updated_at ?? alert.created_at,
        integrity: 'verified',
        payload: {
          alert_number: alert.number,
          title: bounded(alert.secret_type_display_name ?? alert.secret_type, 1_000),
          secret_type: alert.secret_type,
          severity: 'critical',
          state: alert.state ?? null,
          validity: alert.validity ?? null,
          resolution: alert.resolution ?? null,
          publicly_leaked: alert.publicly_leaked ?? action === 'publicly_leaked',
        },
      },
    ]
  },
)

const advisoryBody = head.extend({
  security_advisory: z.object({
    ghsa_id: z.string(),
    cve_id: text,
    summary: text,
    description: text,
    severity: text,
    references: z.array(z.object({ url: z.string() })).nullish(),
    published_at: text,
    updated_at: text,
  }),
})

/** Row 40: the one event without a sender. */
export const securityAdvisory: Family = family('security_advisory', advisoryBody, (body): readonly Fact[] => {
  const { security_advisory: advisory, action } = body
  if (action !== 'published') return []
  return [
    {
      type: 'ADVISORY_PUBLISHED',
      priority: 'NORMAL',
      subject: { kind: 'advisory', id: advisory.ghsa_id, url: advisory.references?.[0]?.url ?? null },
      correlationId: advisory.ghsa_id,
      dedupKey: `gh:ghsa:${advisory.ghsa_id}:${action}:${advisory.updated_at ?? ''}`,
      occurredAt: advisory.published_at ?? advisory.updated_at,
      integrity: 'verified',
      payload: {
        ghsa: advisory.ghsa_id,
        cve: advisory.cve_id ?? null,
        title: bounded(advisory.summary, 1_000),
        body: bounded(advisory.description),
        severity: advisory.severity ?? null,
      },
    },
  ]
})

function priorityOf(severity: string | null): Priority {
  if (severity === 'critical' || severity === 'high') return 'HIGH'
  return severity === 'low' ? 'LOW' : 'NORMAL'
}
