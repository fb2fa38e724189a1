import { z } from 'zod'
import type { AuditReport, LedgerReport } from '../../http/rows.ts'
import type { DoctorReport } from '../../http/doctor.ts'
import type { Rehearsal } from '../../processes/rehearsal.ts'
import { dayPull, dayRepository } from '../../sandbox/day/day.ts'
import type { Client } from '../client.ts'
import { paint, plural } from '../print.ts'

const comment = z.object({
  id: z.number(),
  user: z.object({ login: z.string() }),
  body: z.string(),
  html_url: z.string(),
})
const issue = z.object({
  number: z.number(),
  title: z.string(),
  html_url: z.string(),
  pull_request: z.unknown().optional(),
  labels: z.array(z.object({ name: z.string() })),
})

/** What the day left behind, asked of the sandbox through GitHub's own API, and the proofs. Throws when a proof fails. */
export async function readBack(rehearsal: Rehearsal, client: Client, say: (text: string) => void): Promise<void> {
  say(paint.bold('What stands on GitHub now, read back from the sandbox'))
  const read = async (path: string) => rehearsal.readGithub(`/repos/${dayRepository}${path}`)
  const comments = z.array(comment).parse(await read(`/issues/${dayPull}/comments`))
  say(`  ${dayRepository}#${dayPull} has ${plural(comments.length, 'comment')} by agents, however often it was pushed:`)
  for (const one of comments) say(`    ${one.html_url}  ${paint.dim(`by ${one.user.login}`)}\n${quote(one.body)}`)
  const issues = z.array(issue).parse(await read('/issues?state=all&per_page=100'))
  for (const one of issues.filter((found) => found.pull_request === undefined)) {
    const labels = one.labels.map((label) => label.name).join(', ')
    say(`  issue #${one.number}  ${one.title}${labels ? paint.dim(`  [${labels}]`) : ''}  ${one.html_url}`)
  }
  const pull = issues.find((found) => found.number === dayPull)
  if (pull) say(`  labels of #${dayPull}: ${pull.labels.map((label) => label.name).join(', ') || 'none'}`)
  say('')
  say(paint.bold('The proofs'))
  const [doctor, audit, ledger] = await Promise.all([
    client.get<DoctorReport>('/api/v1/doctor'),
    client.get<AuditReport>('/api/v1/audit/verify'),
    client.get<LedgerReport>('/api/v1/ledger/verify'),
  ])
  for (const check of doctor.checks)
    say(`  ${check.verdict === 'problem' ? paint.red('✗') : paint.green('✓')} ${check.name}: ${check.finding}`)
  say(
    `  ${audit.problems.length === 0 ? paint.green('✓') : paint.red('✗')} audit: ${plural(audit.rows, 'row')}, the chain is ${audit.problems.length === 0 ? 'whole' : 'broken'}`,
  )
  if (!doctor.ok || !ledger.ok || audit.problems.length > 0) process.exitCode = 1
}

function quote(body: string): string {
  return body
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('<!--'))
    .slice(0, 12)
    .map((line) => paint.cyan(`      ${line}`))
    .join('\n')
}
