import { describe, expect, it } from 'vitest'
import type { GuildEvent } from '../kernel/event.ts'
import { chapterOf } from './chapter.ts'
import { aCodex, aScout, load } from '../../test/codex-files.ts'
import { matchRoutes } from './route.ts'
import type { CodexSnapshot } from './snapshot.ts'

const mute = `
  mute:
    - name: bots
      event_type: '*'
      where: payload.bot
      reason: they have their own checks
`

function snapshot(change: (files: Record<string, string>) => void = () => undefined): CodexSnapshot {
  const files = aCodex()
  change(files)
  const { snapshot: made, lines } = load(files)
  if (!made) throw new Error(lines.join('\n'))
  return made
}

function event(type: string, payload: GuildEvent['payload'] = { number: 1 }): GuildEvent {
  return {
    id: 'evt_1',
    timestamp: '2026-01-01T00:00:00Z',
    type,
    source: 'github',
    payload,
    metadata: {} as GuildEvent['metadata'], // no rule here reads it
  }
}

const wakes = (codex: CodexSnapshot, given: GuildEvent, chapter: string | null = null) => {
  const { agents } = matchRoutes(codex, given, chapter)
  return agents.map(({ agent, rule, priority }) => `${agent.id} by ${rule} ${priority ?? '-'}`)
}

describe('matchRoutes', () => {
  it('wakes by a rule, with its priority', () => {
    expect(wakes(snapshot(), event('PR_OPENED'))).toEqual(['scout by routing/events.yaml#opened HIGH'])
  })

  it('wakes by a trigger of a manifest', () => {
    expect(wakes(snapshot(), event('ISSUE_OPENED'))).toEqual(['scout by agents/scout.yaml#trigger-0 -'])
  })

  it.each([
    ['another source', { ...event('PR_OPENED'), source: 'jira' }, 'it is for github, not jira'],
    [
      'a condition that does not hold',
      event('PR_OPENED', { number: 0 }),
      'the condition does not hold: payload.number > 0',
    ],
    [
      'a condition that cannot be evaluated',
      event('PR_OPENED', {}),
      'the condition payload.number > 0 cannot be evaluated: No such key: number',
    ],
  ])('wakes nobody for %s, and says why', (_, given, why) => {
    const match = matchRoutes(snapshot(), given, null)
    expect(match.agents).toEqual([])
    expect(match.considered).toEqual([{ rule: 'routing/events.yaml#opened', matched: false, why }])
  })

  it('considers nothing for a type that no rule names', () => {
    expect(matchRoutes(snapshot(), event('NOTHING'), null)).toEqual({ agents: [], considered: [], muted: null })
  })

  it('is silent when a mute matches, whatever else does', () => {
    const codex = snapshot((files) => (files['routing/events.yaml'] += mute))
    const match = matchRoutes(codex, event('PR_OPENED', { number: 1, bot: true }), null)
    expect(match.agents).toEqual([])
    expect(match.muted).toEqual({ rule: 'routing/events.yaml#bots', reason: 'they have their own checks' })
    expect(wakes(codex, event('PR_OPENED', { number: 1, bot: false }))).toHaveLength(1)
  })

  it('wakes an agent once, by the first rule that names it', () => {
    const codex = snapshot((files) => {
      files['routing/events.yaml'] = (files['routing/events.yaml'] ?? '').replace('PR_OPENED', 'ISSUE_OPENED')
    })
    const match = matchRoutes(codex, event('ISSUE_OPENED'), null)
    expect(match.agents.map(({ rule }) => rule)).toEqual(['routing/events.yaml#opened'])
    expect(match.considered[1]).toEqual({
      rule: 'agents/scout.yaml#trigger-0',
      matched: true,
      why: 'scout is already woken by routing/events.yaml#opened',
    })
  })

  it('prefers the agent of the event’s chapter to the org-wide one of its type', () => {
    const codex = snapshot((files) => (files['agents/scout-web.yaml'] = aScout('scout-web', 'Scout', 'web')))
    expect(wakes(codex, event('PR_OPENED'), 'web')).toEqual(['scout-web by routing/events.yaml#opened HIGH'])
    expect(wakes(codex, event('PR_OPENED'), null)).toEqual(['scout by routing/events.yaml#opened HIGH'])
    expect(wakes(codex, event('PR_OPENED'), 'other')).toEqual(['scout by routing/events.yaml#opened HIGH'])
    expect(wakes(codex, event('ISSUE_OPENED'), 'web')).toEqual(['scout-web by agents/scout-web.yaml#trigger-0 -'])
    expect(wakes(codex, event('ISSUE_OPENED'), null)).toEqual(['scout by agents/scout.yaml#trigger-0 -'])
    const { considered } = matchRoutes(codex, event('ISSUE_OPENED'), 'web')
    expect(considered.map(({ why }) => why)).toContain('scout-web takes the place of scout in the chapter web')
  })

  it('leaves an agent of another chapter asleep when its type is asked for', () => {
    const codex = snapshot((files) => {
      files['agents/scout-web.yaml'] = aScout('scout-web', 'Scout', 'web')
      delete files['agents/scout.yaml']
    })
    const { agents, considered } = matchRoutes(codex, event('PR_OPENED'), null)
    expect(agents).toEqual([])
    expect(considered[0]).toMatchObject({ matched: false, why: 'no Scout serves events without a chapter' })
  })

  it('wakes an agent named by its own name in every chapter', () => {
    const codex = snapshot((files) => {
      files['agents/scout-web.yaml'] = aScout('scout-web', 'Scout', 'web')
      files['routing/events.yaml'] = (files['routing/events.yaml'] ?? '').replace('[Scout]', '[scout-web, scout]')
    })
    expect(wakes(codex, event('PR_OPENED'), null)).toHaveLength(2)
  })
})

describe('chapterOf', () => {
  it.each([
    ['acme/web', 'web'],
    ['acme/shop', null],
    [null, null],
  ])('%s belongs to %s', (repository, chapter) => {
    expect(chapterOf(snapshot(), { connector: 'github', repository })).toBe(chapter)
  })

  it('is the connector’s where it names one', () => {
    const codex = snapshot((files) => {
      files['connectors/github.yaml'] = (files['connectors/github.yaml'] ?? '').replace(
        'spec:',
        'spec:\n  chapter: web',
      )
    })
    expect(chapterOf(codex, { connector: 'github', repository: 'acme/shop' })).toBe('web')
  })
})
