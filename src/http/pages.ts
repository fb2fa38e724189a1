import type { FastifyPluginAsync } from 'fastify'
import { z } from 'zod'
import { isGuildError } from '../kernel/errors.ts'
import { guard } from './guard.ts'
import type { HttpDeps } from './server.ts'
import { readStatus, type Status } from './status.ts'

const signIn = z.object({ token: z.string().min(20).max(100) })

/** The pages of this version: signing in with a one-time link, and an overview. The console takes this place later. */
export function pageRoutes({ keys, sessions, status, api }: HttpDeps): FastifyPluginAsync {
  return async (app) => {
    app.get('/sign-in', { schema: { hide: true } }, async (request, reply) => {
      const { data } = signIn.safeParse(request.query)
      const keyId = data ? await keys.redeem(data.token) : null
      if (!keyId) return reply.code(401).type('text/html').send(page('Sign in', usedUp))
      await sessions.start(reply, keyId)
      return reply.redirect('/')
    })
    app.get('/', { schema: { hide: true }, config: { role: 'viewer' } }, async (request, reply) => {
      try {
        await guard(request, keys, sessions)
      } catch (error) {
        if (!isGuildError(error, 'GUILD_UNAUTHENTICATED')) throw error
        return reply.code(401).type('text/html').send(page('Sign in', signedOut))
      }
      const [now, events] = await Promise.all([readStatus(status), api.events({ limit: 20 })])
      return reply.type('text/html').send(page('Now', overview(now, events.items as readonly EventLine[])))
    })
  }
}

interface EventLine {
  readonly id: string
  readonly type: string
  readonly subject_id: string
  readonly disposition: string
  readonly reason: string
  readonly received_at: Date
}

const usedUp = `<p>This link was used, or is older than 15 minutes.</p><p>Make a new one: <code>guild up</code> prints it when it starts.</p>`
const signedOut = `<p>This page needs a key. <code>guild up</code> prints a sign-in link that works once.</p>
<p>Programs send <code>Authorization: Bearer &lt;key&gt;</code>; the API is described at <a href="/openapi.json">/openapi.json</a>.</p>`

function overview(now: Status, events: readonly EventLine[]): string {
  const counts = (of: Readonly<Record<string, number>>) =>
    Object.entries(of)
      .map(([name, count]) => `<span class="count">${count}</span> ${escape(name.toLowerCase().replaceAll('_', ' '))}`)
      .join(' · ') || 'none yet'
  const rows = events.map(
    (event) =>
      `<tr><td><time datetime="${event.received_at.toISOString()}">${event.received_at.toISOString().slice(11, 19)}</time></td><td>${escape(event.type)}</td><td>${escape(event.subject_id)}</td><td>${escape(event.disposition)}</td><td title="${escape(event.reason)}">${escape(event.reason)}</td></tr>`,
  )
  const empty =
    '<tr><td colspan="5">Nothing has arrived yet. Try <code>guild demo</code>, or point a GitHub webhook at <code>/webhooks/github</code>.</td></tr>'
  const broken = now.codex.problems
    ? `<p class="bad">Commit ${escape(now.codex.problems.commit.slice(0, 12))} of the Codex is not valid and does not serve. Run <code>guild codex lint</code>.</p>`
    : ''
  return `<dl>
<dt>Received</dt><dd><span class="count">${now.received}</span> = ${counts(now.dispositions)}</dd>
<dt>Runs</dt><dd>${counts(now.runs)}</dd>
<dt>Actions</dt><dd>${counts(now.actions)}</dd>
<dt>Needs you</dt><dd>${now.desk > 0 ? `<strong>${now.desk}</strong>, see <code>guild approvals</code>` : 'nothing'}</dd>
<dt>Connectors</dt><dd>${now.connectors.map((one) => `${escape(one.name)}: ${one.live ? '<strong>live</strong>' : 'shadow'}`).join(' · ') || 'none'}</dd>
<dt>Codex</dt><dd><code>${escape(now.codex.commit.slice(0, 12))}</code></dd>
</dl>${broken}
<h2>Last events</h2>
<table><thead><tr><th>UTC</th><th>Type</th><th>Subject</th><th>Disposition</th><th>Why</th></tr></thead><tbody>${rows.join('') || empty}</tbody></table>
<p class="quiet">Reload for news; <code>guild events --follow</code> shows it live. Everything here is also at <a href="/openapi.json">/api/v1</a>.</p>`
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title} · Foundry</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem; letter-spacing: .02em } h2 { font-size: 1rem; margin-top: 2rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem } dt { opacity: .7 } dd { margin: 0 }
.count { font-variant-numeric: tabular-nums; font-weight: 600 }
table { border-collapse: collapse; width: 100%; font-size: .875rem } th { text-align: left; opacity: .7; font-weight: 500 }
td, th { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); white-space: nowrap }
td:last-child { width: 100%; max-width: 0; overflow: hidden; text-overflow: ellipsis }
code { font-size: .9em; background: color-mix(in srgb, currentColor 8%, transparent); padding: .1em .35em; border-radius: .25em }
.quiet { opacity: .7; font-size: .875rem } .bad { color: light-dark(#b00020, #ff8a80) }
@media (max-width: 40rem) { td:nth-child(5), th:nth-child(5) { display: none } }
</style></head><body><h1>Foundry</h1>${body}</body></html>`
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
