import type { HookDelivery } from './echo.ts'
import type { GithubState, Repository, Thread } from './github-state.ts'
import type { ReceivedWrite } from './received.ts'

/** Nothing on these pages runs, and nothing is fetched: what they show was written by others. */
export const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
} as const

export function overviewPage(
  state: GithubState,
  writes: readonly ReceivedWrite[],
  deliveries: readonly HookDelivery[],
): string {
  const threads = state.repositories().flatMap((repository) =>
    [...repository.threads.values()].map((thread) => {
      const path = `/${repository.fullName}/${thread.pull ? 'pull' : 'issues'}/${thread.number}`
      const reviews = thread.pull?.reviews.length ?? 0
      return row(
        `<a href="${escape(path)}">${escape(`${repository.fullName}#${thread.number}`)}</a>`,
        escape(thread.title),
        escape(thread.labels.join(', ')),
        `${thread.comments.length} comment(s), ${reviews} review(s)`,
      )
    }),
  )
  const checks = state
    .repositories()
    .flatMap((repository) =>
      repository.checkRuns.map((run) =>
        row(
          escape(repository.fullName),
          escape(run.name),
          escape(run.conclusion ?? run.status),
          escape(run.headSha.slice(0, 12)),
        ),
      ),
    )
  const received = writes
    .toReversed()
    .slice(0, 200)
    .map((write) =>
      row(
        String(write.seq),
        escape(write.at),
        escape(`${write.method} ${write.path}`),
        escape(write.login ?? 'nobody'),
        `${write.status || 'no answer'}${write.fault ? ` (${escape(write.fault)})` : ''}`,
        `<pre>${escape(JSON.stringify(write.body ?? null, null, 2).slice(0, 4_000))}</pre>`,
      ),
    )
  const sent = deliveries
    .slice(0, 200)
    .map((one) =>
      row(
        escape(one.deliveredAt),
        escape([one.event, one.action].filter(Boolean).join('.')),
        escape(one.status),
        escape(one.guid),
      ),
    )
  return document('Sandbox GitHub', [
    '<p>A local stand-in for the GitHub API. Nothing here reaches GitHub.</p>',
    table('Issues and pull requests', ['', 'title', 'labels', ''], threads),
    table('Check runs', ['repository', 'name', 'conclusion', 'commit'], checks),
    table('Writes received, newest first', ['#', 'at', 'call', 'by', 'answer', 'body'], received),
    table('Webhooks sent back, newest first', ['at', 'event', 'status', 'delivery'], sent),
  ])
}

export function threadPage(repository: Repository, thread: Thread): string {
  const said = [
    ...thread.comments.map((one) => ({ at: one.createdAt, by: one.author.login, what: 'commented', body: one.body })),
    ...(thread.pull?.reviews ?? []).map((one) => ({
      at: one.submittedAt,
      by: one.author.login,
      what: one.state.toLowerCase().replaceAll('_', ' '),
      body: one.body,
    })),
  ].toSorted((a, b) => a.at.localeCompare(b.at))
  return document(`${repository.fullName}#${thread.number} ${thread.title}`, [
    '<p><a href="/_sandbox">all that the sandbox holds</a></p>',
    `<p>${escape(thread.state)} · by ${escape(thread.author.login)} · ${escape(thread.labels.join(', ') || 'no labels')}</p>`,
    `<pre>${escape(thread.body)}</pre>`,
    ...said.map(
      ({ at, by, what, body }) =>
        `<section><h2>${escape(by)} ${escape(what)} <small>${escape(at)}</small></h2><pre>${escape(body)}</pre></section>`,
    ),
  ])
}

function document(title: string, parts: readonly string[]): string {
  const style =
    'body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}' +
    'table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}' +
    'pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}section{border:1px solid #8884;border-radius:6px;padding:0 1rem 1rem;margin:1rem 0}h2{font-size:1.05rem}'
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><style>${style}</style><h1>${escape(title)}</h1>${parts.join('\n')}</html>`
}

function table(title: string, heads: readonly string[], rows: readonly string[]): string {
  const head = heads.map((one) => `<th>${escape(one)}</th>`).join('')
  const body = rows.length > 0 ? rows.join('') : `<tr><td colspan="${heads.length}">none yet</td></tr>`
  return `<h2>${escape(title)}</h2><table><tr>${head}</tr>${body}</table>`
}

function row(...cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
