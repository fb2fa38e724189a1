import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { loadSettings } from '../src/config/settings.ts'
import { openapiDocument } from '../src/http/openapi.ts'
import * as rows from '../src/http/rows.ts'
import { localAdminKey } from '../src/processes/presence.ts'
import { Rehearsal } from '../src/processes/rehearsal.ts'
import { day, dayPullFiles } from '../src/sandbox/day/day.ts'

let folder: string
let rehearsal: Rehearsal
let admin: string
let eventId: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guild-api-'))
  const settings = loadSettings({ GUILD_HOME: folder, PORT: '0', ARTIFACTS_URL: `file:${join(folder, 'real')}` })
  const home = join(folder, 'home')
  rehearsal = await Rehearsal.open({ settings, env: {}, version: 'test', home, live: ['github'], rulesOnly: true })
  admin = (await localAdminKey(home)).reveal()
  const [scene] = day()
  if (scene?.kind !== 'delivery') throw new Error('the day begins with a delivery')
  rehearsal.sandbox.github.seedFromWebhook(scene.body, { files: dayPullFiles })
  const answer = await rehearsal.send(scene.event, scene.body)
  eventId = (answer.body as { event_ids: readonly string[] }).event_ids[0] ?? ''
  await rehearsal.send('issues', '{ no JSON')
  await rehearsal.settled(1, 60_000)
}, 120_000)

afterAll(async () => {
  await rehearsal[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

async function call(
  path: string,
  options: {
    readonly key?: string
    readonly method?: string
    readonly body?: object
    readonly headers?: Record<string, string>
  } = {},
) {
  const { key = admin, method = 'GET', body, headers = {} } = options
  return fetch(`${rehearsal.serving.url}${path}`, {
    method,
    headers: {
      ...(key && { authorization: `Bearer ${key}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
    redirect: 'manual',
  })
}

async function keyOf(role: string): Promise<string> {
  const made = await call('/api/v1/keys', { method: 'POST', body: { name: `a ${role}`, role } })
  return ((await made.json()) as { key: string }).key
}

const page = (row: z.ZodType) => z.object({ items: z.array(row).min(1), next: z.string().nullable() })

describe('the API', () => {
  it('gives the transcript of a run to operators, and says why there is none', async () => {
    const list = page(rows.runRow).parse(await (await call('/api/v1/invocations')).json())
    const run = rows.runRow.parse(list.items[0])
    const { id } = run
    const path = `/api/v1/invocations/${id}/transcript`
    const transcript = rows.transcript.parse(await (await call(path)).json())
    expect(transcript).toMatchObject({ format: 'guild/transcript/1', invocation: { id }, event: { id: eventId } })
    expect(transcript.ending.state).toBe('COMPLETED')
    const kinds = transcript.steps.map((step) => step.kind)
    expect(kinds).toEqual(expect.arrayContaining(['codex', 'context', 'llm', 'action']))
    expect((await call(path, { key: await keyOf('viewer') })).status).toBe(403)
    expect((await call(path, { key: await keyOf('operator') })).status).toBe(200)
    await rm(join(folder, 'home', 'artifacts', 'logs', run.queued_at.slice(0, 10), `${id}.json`))
    const gone = await call(path)
    expect([gone.status, await gone.text()]).toEqual([404, expect.stringContaining('its retention is over')])
    expect((await call('/api/v1/invocations/inv_none/transcript')).status).toBe(404)
  })

  it.each([
    ['/api/v1/events', page(rows.eventRow)],
    ['/api/v1/invocations', page(rows.runRow)],
    ['/api/v1/actions', page(rows.actionRow)],
    ['/api/v1/approvals?state=PENDING', page(rows.approvalRow)],
    ['/api/v1/agents', page(rows.agentRow)],
    ['/api/v1/dead', page(rows.deadRow)],
    ['/api/v1/audit', page(rows.auditRow)],
    ['/api/v1/keys', page(rows.keyRow)],
    ['/api/v1/audit/verify', rows.auditReport],
    ['/api/v1/ledger/verify', rows.ledgerReport],
  ])('answers %s as its schema says', async (path, schema) => {
    const response = await call(path)
    expect(response.status).toBe(200)
    schema.parse(await response.json())
  })

  it('answers single events, runs, actions and stories as their schemas say', async () => {
    rows.eventRow.parse(await (await call(`/api/v1/events/${eventId}`)).json())
    const story = rows.story.parse(await (await call(`/api/v1/why/${eventId}`)).json())
    expect(story.verdict).toContain('ROUTED')
    for (const run of story.invocations)
      rows.runDetail.parse(await (await call(`/api/v1/invocations/${run.id}`)).json())
    for (const action of story.actions)
      rows.actionDetail.parse(await (await call(`/api/v1/actions/${action.id}`)).json())
    expect(story.invocations.length).toBeGreaterThan(0)
    expect(story.actions.length).toBeGreaterThan(0)
  })

  it('pages without losing or repeating a row', async () => {
    const all = (await (await call('/api/v1/audit?limit=500')).json()) as { items: { seq: number }[] }
    const seen: number[] = []
    let before = ''
    for (;;) {
      const one = (await (await call(`/api/v1/audit?limit=3${before}`)).json()) as {
        items: { seq: number }[]
        next: string | null
      }
      seen.push(...one.items.map((row) => row.seq))
      if (one.next === null) break
      before = `&before=${one.next}`
    }
    expect(seen.slice(-all.items.length)).toEqual(all.items.map((row) => row.seq))
  })

  it('answers 404 with a fix for what does not exist', async () => {
    for (const path of ['events/evt_x', 'invocations/inv_x', 'actions/act_x', 'agents/nobody', 'why/evt_x']) {
      const response = await call(`/api/v1/${path}`)
      expect({ path, status: response.status }).toEqual({ path, status: 404 })
      expect(((await response.json()) as { error: object }).error).toMatchObject({
        code: 'GUILD_NOT_FOUND',
        fix: expect.any(String),
      })
    }
  })

  it('lets nobody in without a key, with a wrong one, or with a revoked one', async () => {
    expect((await call('/api/v1/events', { key: '' })).status).toBe(401)
    expect((await call('/api/v1/events', { key: 'guild_wrong' })).status).toBe(401)
    expect((await call('/metrics', { key: '' })).status).toBe(401)
    const made = (await (
      await call('/api/v1/keys', { method: 'POST', body: { name: 'gone', role: 'admin' } })
    ).json()) as { id: string; key: string }
    expect((await call('/api/v1/events', { key: made.key })).status).toBe(200)
    await call(`/api/v1/keys/${made.id}/revoke`, { method: 'POST', body: {} })
    expect((await call('/api/v1/events', { key: made.key })).status).toBe(401)
  })

  it('lets a viewer read, an operator decide, and only an admin make keys', async () => {
    const [viewer, operator] = [await keyOf('viewer'), await keyOf('operator')]
    const { items } = (await (await call('/api/v1/approvals?state=PENDING')).json()) as {
      items: { id: string; approval_hash: string }[]
    }
    const [asked] = items
    const approve = { method: 'POST', body: { approval_hash: asked?.approval_hash ?? '', note: 'seen' } }
    expect((await call('/api/v1/status', { key: viewer })).status).toBe(200)
    expect((await call(`/api/v1/approvals/${asked?.id}/approve`, { ...approve, key: viewer })).status).toBe(403)
    expect((await call('/api/v1/keys', { key: operator })).status).toBe(403)
    const stale = { method: 'POST', key: operator, body: { approval_hash: 'a'.repeat(64) } }
    expect((await call(`/api/v1/approvals/${asked?.id}/approve`, stale)).status).toBe(409)
    expect((await call(`/api/v1/approvals/${asked?.id}/approve`, { ...approve, key: operator })).status).toBe(200)
    expect(
      (await call(`/api/v1/approvals/${asked?.id}/approve`, { ...approve, key: operator })).status,
    ).toBeGreaterThanOrEqual(404)
  })

  it('shows what an action would do, and takes back what was done, for operators only', async () => {
    const [viewer, operator] = [await keyOf('viewer'), await keyOf('operator')]
    const args = { repo: 'acme/shop', number: 1, add: ['seen'] }
    const body = { agent: 'quartermaster', type: 'GITHUB_LABEL', args }
    expect((await call('/api/v1/actions/dry-run', { method: 'POST', key: viewer, body })).status).toBe(403)
    const dry = await call('/api/v1/actions/dry-run', { method: 'POST', key: operator, body })
    expect(rows.dryRun.parse(await dry.json())).toMatchObject({
      verdict: 'run',
      request: { method: 'POST', headers: { authorization: '[redacted]' }, body: { labels: ['seen'] } },
    })
    expect((await call('/api/v1/actions/dry-run', { method: 'POST', body: { ...body, args: {} } })).status).toBe(422)

    const { items } = (await (await call('/api/v1/actions?state=SUCCEEDED')).json()) as {
      items: { id: string; type: string; invocation_id: string }[]
    }
    const done = items.find(({ type }) => type === 'GITHUB_LABEL' || type === 'GITHUB_COMMENT')
    const path = `/api/v1/actions/${done?.id}/undo`
    expect((await call(path, { method: 'POST', key: viewer, body: {} })).status).toBe(403)
    const taken = await call(path, { method: 'POST', key: operator, body: { note: 'a rehearsal' } })
    expect(rows.undoRow.parse(await taken.json())).toMatchObject({ actionId: done?.id, result: 'queued' })
    await expect
      .poll(async () => ((await (await call(`/api/v1/actions/${done?.id}`)).json()) as { state: string }).state, {
        timeout: 20_000,
      })
      .toBe('UNDONE')
    const all = await call('/api/v1/actions/undo', {
      method: 'POST',
      key: operator,
      body: { run: done?.invocation_id },
    })
    page(rows.undoRow)
      .partial({ items: true })
      .parse(await all.json())
    expect((await call('/api/v1/actions/undo', { method: 'POST', key: operator, body: {} })).status).toBe(400)
  })

  it('cancels a run for an operator, and says that one that is over is over', async () => {
    const [viewer, operator] = [await keyOf('viewer'), await keyOf('operator')]
    const { items } = (await (await call('/api/v1/invocations?state=COMPLETED')).json()) as { items: { id: string }[] }
    const path = `/api/v1/invocations/${items[0]?.id}/cancel`
    expect((await call(path, { method: 'POST', key: viewer, body: {} })).status).toBe(403)
    const refused = await call(path, { method: 'POST', key: operator, body: { note: 'too late' } })
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([
      409,
      'GUILD_RUN_OVER',
    ])
    const none = await call('/api/v1/invocations/inv_none/cancel', { method: 'POST', key: operator, body: {} })
    expect(none.status).toBe(404)
  })

  it('signs a browser in once with its link, and lets no other site write with the session', async () => {
    const { pathname, search } = new URL(rehearsal.serving.signInUrl ?? '')
    const first = await call(pathname + search, { key: '' })
    expect(first.status).toBe(302)
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? ''
    const again = await call(pathname + search, { key: '' })
    expect(again.status).toBe(401)
    expect((await call('/', { key: '', headers: { cookie } })).status).toBe(200)
    expect((await call('/', { key: '' })).status).toBe(401)
    const body = { name: 'x', role: 'viewer' }
    expect(
      (
        await call('/api/v1/keys', {
          key: '',
          method: 'POST',
          body,
          headers: { cookie, origin: 'https://evil.example' },
        })
      ).status,
    ).toBe(401)
    expect(
      (
        await call('/api/v1/keys', {
          key: '',
          method: 'POST',
          body,
          headers: { cookie, origin: rehearsal.serving.url },
        })
      ).status,
    ).toBe(200)
  })

  it('streams each decision as it is made', async () => {
    const stop = new AbortController()
    const response = await fetch(`${rehearsal.serving.url}/api/v1/stream`, {
      headers: { authorization: `Bearer ${admin}` },
      signal: stop.signal,
    })
    const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
    await reader.read()
    await rehearsal.send('ping', { zen: 'x', hook_id: 1, hook: {} })
    await rehearsal.send('create', {
      ref: 'v1',
      ref_type: 'tag',
      master_branch: 'main',
      repository: {
        id: 1,
        full_name: 'acme/x',
        name: 'x',
        default_branch: 'main',
        html_url: 'https://github.com/acme/x',
        owner: { login: 'acme' },
      },
      sender: { login: 'ada-byron', id: 1, type: 'User' },
    })
    let text = ''
    while (!text.includes('TAG_CREATED')) {
      const { value, done } = await reader.read()
      if (done) break
      text += value
    }
    stop.abort()
    expect(text).toContain('event: decision')
    expect(text).toContain('TAG_CREATED')
  })

  it('keeps the artifacts of a rehearsal out of the real ones', async () => {
    expect(await readdir(join(folder, 'home', 'artifacts'))).toContain('logs')
    expect(await readdir(folder)).not.toContain('real')
  })

  it('describes every route of /api/v1 with a summary and an answer', async () => {
    const { paths } = (await openapiDocument()) as {
      paths: Record<string, Record<string, { summary?: string; responses?: object }>>
    }
    const routes = Object.values(paths).flatMap((path) => Object.values(path))
    expect(routes.length).toBeGreaterThan(20)
    for (const route of routes)
      expect(route).toMatchObject({ summary: expect.any(String), responses: { 200: expect.anything() } })
  })
})
